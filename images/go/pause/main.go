// The process that holds a pod's namespaces: it does nothing but reap orphans until it is told to go.
package main

import (
	"fmt"
	"os"
	"os/signal"
	"syscall"
)

// The version that kubeadm 1.35 asks for; `kubeadm upgrade plan` runs `pause -v` and wants exit code 0.
const version = "3.10.1"

func main() {
	if len(os.Args) > 1 && os.Args[1] == "-v" {
		fmt.Println("pause", version)
		return
	}
	signals := make(chan os.Signal, 16)
	signal.Notify(signals, syscall.SIGCHLD, syscall.SIGINT, syscall.SIGTERM)
	for received := range signals {
		if received != syscall.SIGCHLD {
			return
		}
		// One signal may stand for several children.
		for {
			if pid, err := syscall.Wait4(-1, nil, syscall.WNOHANG, nil); pid <= 0 && err != syscall.EINTR {
				break
			}
		}
	}
}
