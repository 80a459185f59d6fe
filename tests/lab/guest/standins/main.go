// Command standins is every program of the k8s snap that the lab cannot install, over real dqlite.
//
// One binary, called by the name it is linked under, keeps an image small and the page cache of a node shared. With the
// build tag k8sd it is k8sd alone, over the real microcluster. What is real and what is pretended is told in README.md.
package main

import (
	"fmt"
	"os"
	"path/filepath"
)

// program runs one of the stood-in programs and returns its exit code.
type program func(args []string) int

func main() {
	name := filepath.Base(os.Args[0])
	args := os.Args[1:]
	run, ok := programs()[name]
	if !ok && len(args) > 0 {
		// `standins NAME ARGS…` serves where no links are laid out yet.
		name, args = args[0], args[1:]
		run, ok = programs()[name]
	}
	if !ok {
		fmt.Fprintf(os.Stderr, "standins: no program is called %q; link this binary under the name of one\n", name)
		os.Exit(2)
	}
	os.Exit(run(args))
}
