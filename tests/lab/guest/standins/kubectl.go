package main

import (
	"context"
	"flag"
	"fmt"
	"os"
)

// adminConfig is what the snap's kubectl is given.
const adminConfig = "/etc/kubernetes/admin.conf"

// runKubectl is the snap's kubectl, as far as `get --raw=PATH` goes: from the API server on this node.
func runKubectl(args []string) int {
	set := flag.NewFlagSet("kubectl", flag.ContinueOnError)
	config := set.String("kubeconfig", adminConfig, "has to be there; nothing is read from it")
	limit := set.Duration("request-timeout", 0, "how long to wait for the answer")
	if err := set.Parse(args); err != nil {
		return 1
	}
	verb := flag.NewFlagSet("kubectl get", flag.ContinueOnError)
	raw := verb.String("raw", "", "the path to request")
	if set.NArg() == 0 || set.Arg(0) != "get" || verb.Parse(set.Args()[1:]) != nil || *raw == "" {
		fmt.Fprintln(os.Stderr, "error: the lab's kubectl knows get --raw=PATH")
		return 1
	}
	if _, err := os.Stat(*config); err != nil {
		fmt.Fprintf(os.Stderr, "error: stat %s: no such file or directory\n", *config)
		return 1
	}
	ctx := context.Background()
	if *limit > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, *limit)
		defer cancel()
	}
	text, err := fetchAPI(ctx, *raw)
	if err != nil {
		fmt.Fprintf(os.Stderr, "Error from server: %v\n", err)
		return 1
	}
	fmt.Print(text)
	return 0
}

// writeAdminConfig leaves a kubeconfig where the snap leaves its own.
func writeAdminConfig() error {
	const text = "apiVersion: v1\nkind: Config\n# Nothing here needs more of it than that it is there.\n"
	if err := os.MkdirAll("/etc/kubernetes", 0o755); err != nil {
		return err
	}
	return os.WriteFile(adminConfig, []byte(text), 0o600)
}
