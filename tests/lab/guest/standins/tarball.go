//go:build k8sd

package main

import (
	"archive/tar"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// recoveryStamp is the local time as cluster-recover writes it into file names.
func recoveryStamp() string { return time.Now().Format("2006-01-02T150405Z0700") }

// writeTarball packs root/below, less some paths relative to root. Like the original's it is world-readable, is not
// synced, and lists sockets without content.
func writeTarball(path, root, below string, exclude ...string) (err error) {
	file, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("create %s: %w", path, err)
	}
	zip := gzip.NewWriter(file)
	archive := tar.NewWriter(zip)
	err = errors.Join(
		packTree(archive, root, below, exclude),
		archive.Close(),
		zip.Close(),
		file.Close(),
	)
	if err != nil {
		return fmt.Errorf("write %s: %w", path, err)
	}
	return nil
}

func packTree(archive *tar.Writer, root, below string, exclude []string) error {
	return fs.WalkDir(os.DirFS(root), below, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			log.Printf("failed to read file while creating tarball; skipping %s: %v", name, err)
			return nil
		}
		if slices.Contains(exclude, name) {
			return nil
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		if info.Mode()&fs.ModeSocket != 0 {
			// archive/tar has no socket type.
			return nil
		}
		header, err := tar.FileInfoHeader(info, name)
		if err != nil {
			return err
		}
		header.Name = name
		if err := archive.WriteHeader(header); err != nil {
			return err
		}
		if !info.Mode().IsRegular() {
			return nil
		}
		source, err := os.Open(filepath.Join(root, name))
		if err != nil {
			return err
		}
		defer source.Close()
		_, err = io.Copy(archive, source)
		return err
	})
}
