package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/canonical/go-dqlite/v2/client"
	"gopkg.in/yaml.v2"
)

// exists tells whether a path is there; anything but "no such file" is an error.
func exists(path string) (bool, error) {
	_, err := os.Lstat(path)
	if err == nil {
		return true, nil
	}
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return false, fmt.Errorf("look for %s: %w", path, err)
}

func readYaml(path string, into interface{}) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := yaml.Unmarshal(data, into); err != nil {
		return fmt.Errorf("parse %s: %w", path, err)
	}
	return nil
}

// writeYaml writes in place and does not sync: so do the programs it stands in for.
func writeYaml(path string, value interface{}, mode os.FileMode) error {
	data, err := yaml.Marshal(value)
	if err != nil {
		return fmt.Errorf("render %s: %w", path, err)
	}
	if err := os.WriteFile(path, data, mode); err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func readNodes(path string) ([]client.NodeInfo, error) {
	nodes := []client.NodeInfo{}
	err := readYaml(path, &nodes)
	return nodes, err
}
