package main

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
)

const snapName = "k8s"

// allServices is every service of the snap that the lab has, in the order in which they may be started.
var allServices = []string{
	"containerd", "k8s-dqlite", "k8sd", "kube-apiserver",
	"kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet",
}

// controlPlaneServices is what k8sd starts after the datastore, in its order.
var controlPlaneServices = []string{
	"containerd", "kube-controller-manager", "kube-proxy", "kube-scheduler", "kubelet", "kube-apiserver",
}

func unitName(service string) string { return "snap." + snapName + "." + service + ".service" }

// runSnap is snapd's command, for the one snap k8s.
func runSnap(args []string) int {
	if len(args) == 0 {
		fmt.Fprintln(os.Stderr, "error: the lab's snap knows: run, services, start, stop, restart, refresh, list")
		return 1
	}
	var err error
	switch verb, rest := args[0], args[1:]; verb {
	case "run":
		err = snapRun(rest)
	case "services":
		err = snapServices(rest)
	case "start", "stop", "restart":
		err = snapControl(verb, rest)
	case "refresh":
		err = snapRefresh(rest)
	case "list":
		fmt.Printf("Name  Version  Rev  Tracking            Publisher  Notes\n%-4s  %-7s  %-3s  %-18s  %-9s  %s\n",
			snapName, "v1.32", "x1", "1.32-classic/stable", "-", "classic,held")
	default:
		err = fmt.Errorf("unknown command %q, see 'snap help'", verb)
	}
	if err != nil {
		fmt.Fprintf(os.Stderr, "error: %v\n", err)
		return 1
	}
	return 0
}

// snapRun becomes the program, with the arguments that the snap keeps in a file per service.
func snapRun(args []string) error {
	if len(args) == 0 {
		return fmt.Errorf("need the application to run as argument")
	}
	app, argv := args[0], args[1:]
	if app == snapName {
		return becomeProgram("k8s", argv)
	}
	service, ok := strings.CutPrefix(app, snapName+".")
	if !ok || !slices.Contains(allServices, service) {
		return fmt.Errorf("cannot find app %q in %q", app, snapName)
	}
	kept, err := os.ReadFile(snapArgs + "/" + service)
	if err != nil {
		return fmt.Errorf("the service %s was not set up yet: %w", service, err)
	}
	return becomeProgram(service, append(parseArgs(string(kept)), argv...))
}

// parseArgs splits the lines of an arguments file. The original lets a shell do it; the lab has no blanks in values.
func parseArgs(text string) []string {
	args := strings.Fields(text)
	for i, arg := range args {
		args[i] = strings.ReplaceAll(arg, `"`, "")
	}
	return args
}

func becomeProgram(name string, args []string) error {
	path := snapBin + "/" + name
	environment := append(os.Environ(),
		"SNAP=/snap/k8s/current", "SNAP_NAME="+snapName, "SNAP_INSTANCE_NAME="+snapName, "SNAP_COMMON="+snapCommon)
	if err := syscall.Exec(path, append([]string{path}, args...), environment); err != nil {
		return fmt.Errorf("run %s: %w", path, err)
	}
	return nil
}

// chosenServices turns k8s and k8s.SERVICE into names of services. k8s alone means all, the disabled ones too.
func chosenServices(names []string) (services []string, whole bool, err error) {
	if len(names) == 0 {
		return nil, false, fmt.Errorf("the required argument `<service>` was not provided")
	}
	for _, name := range names {
		if name == snapName {
			return allServices, true, nil
		}
		service, ok := strings.CutPrefix(name, snapName+".")
		if !ok {
			return nil, false, fmt.Errorf("snap %q not found", name)
		}
		if !slices.Contains(allServices, service) {
			return nil, false, fmt.Errorf("snap %q has no service %q", snapName, service)
		}
		services = append(services, service)
	}
	return services, false, nil
}

// snapControl starts, stops or restarts. One systemctl for all units: a process is dear in a guest.
func snapControl(verb string, args []string) error {
	var names, flags []string
	for _, arg := range args {
		if strings.HasPrefix(arg, "-") {
			flags = append(flags, arg)
		} else {
			names = append(names, arg)
		}
	}
	services, whole, err := chosenServices(names)
	if err != nil {
		return err
	}
	var units []string
	for _, service := range services {
		units = append(units, unitName(service))
	}
	ctx := context.Background()
	for _, flag := range flags {
		switch {
		case verb == "start" && flag == "--enable", verb == "stop" && flag == "--disable":
			if err := runCommand(ctx, "systemctl", append([]string{"--no-reload", flag[2:]}, units...)...); err != nil {
				return err
			}
		case verb == "restart" && flag == "--reload", flag == "--no-wait":
		default:
			return fmt.Errorf("unknown flag `%s'", strings.TrimLeft(flag, "-"))
		}
	}
	action := verb
	if verb == "restart" && whole {
		// Of a whole snap only what runs is restarted; a service that is named is started too.
		action = "try-restart"
	}
	if err := runCommand(ctx, "systemctl", append([]string{action}, units...)...); err != nil {
		return err
	}
	fmt.Println(map[string]string{"start": "Started.", "stop": "Stopped.", "restart": "Restarted."}[verb])
	return nil
}

// snapServices prints snapd's table, from one call of systemctl.
func snapServices(names []string) error {
	if len(names) == 0 {
		names = []string{snapName}
	}
	services, _, err := chosenServices(names)
	if err != nil {
		return err
	}
	args := []string{"show", "--property=Id,ActiveState,UnitFileState"}
	for _, service := range services {
		args = append(args, unitName(service))
	}
	out, err := exec.Command("systemctl", args...).Output()
	if err != nil {
		return fmt.Errorf("ask systemd for the services: %w", err)
	}
	states := parseShow(string(out))
	fmt.Printf("%-28s  %-8s  %-8s  %s\n", "Service", "Startup", "Current", "Notes")
	for _, service := range services {
		state := states[unitName(service)]
		startup, current := "disabled", "inactive"
		if state["UnitFileState"] == "enabled" {
			startup = "enabled"
		}
		if state["ActiveState"] == "active" {
			current = "active"
		}
		fmt.Printf("%-28s  %-8s  %-8s  -\n", snapName+"."+service, startup, current)
	}
	return nil
}

// parseShow reads the blocks of `systemctl show`, by unit.
func parseShow(text string) map[string]map[string]string {
	units := map[string]map[string]string{}
	for _, block := range strings.Split(text, "\n\n") {
		values := map[string]string{}
		for _, line := range strings.Split(block, "\n") {
			if key, value, ok := strings.Cut(line, "="); ok {
				values[key] = value
			}
		}
		units[values["Id"]] = values
	}
	return units
}

// snapRefresh knows only how to hold refreshes off.
func snapRefresh(args []string) error {
	hold := false
	for _, arg := range args {
		switch {
		case arg == "--hold", strings.HasPrefix(arg, "--hold="):
			hold = true
		case arg == snapName:
		default:
			return fmt.Errorf("the lab's snap cannot refresh: %s", arg)
		}
	}
	if !hold {
		return fmt.Errorf("the lab's snap cannot refresh, only --hold")
	}
	fmt.Printf("General refreshes of %q held indefinitely\n", snapName)
	return nil
}
