package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
)

const localAPI = "http://127.0.0.1:" + apiServerPort

// fetchAPI reads from the API server on this node.
func fetchAPI(ctx context.Context, path string) (string, error) {
	return callAPI(ctx, http.MethodGet, path, "")
}

// putAPI writes through the API server on this node.
func putAPI(ctx context.Context, path, value string) error {
	_, err := callAPI(ctx, http.MethodPut, path, value)
	return err
}

func callAPI(ctx context.Context, method, path, body string) (string, error) {
	request, err := http.NewRequestWithContext(ctx, method, localAPI+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		return "", fmt.Errorf("%s %s: %w", method, path, err)
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("%s %s: %s: %s", method, path, response.Status, strings.TrimSpace(string(text)))
	}
	return string(text), nil
}
