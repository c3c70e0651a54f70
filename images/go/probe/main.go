// A client inside the cluster, for a verification: from within a pod it asks, again and again, what every workload
// depends on, and prints how each question went. It answers HTTP itself, so that its fellows are what it asks for.
//
//	cluster-dns         a Service's name, of the cluster's DNS
//	kubernetes-service  /readyz, of the `kubernetes` Service, its certificate verified
//	pod-service         /, of a Service whose backends are these pods
//
// A line for each question: what was asked, when it began (nanoseconds of Unix time), how long it took (microseconds),
// and `good` or why not. Every question is on a connection of its own.
package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

const authority = "/var/run/secrets/kubernetes.io/serviceaccount/ca.crt"

var (
	dns      = flag.String("dns", "", "the cluster's DNS, ADDRESS:PORT")
	name     = flag.String("name", "", "the name to ask it for")
	api      = flag.String("api", "", "the kubernetes Service, ADDRESS:PORT")
	service  = flag.String("service", "", "the pods' own Service, ADDRESS:PORT")
	every    = flag.Duration("every", 100*time.Millisecond, "between two questions of a kind")
	patience = flag.Duration("patience", 5*time.Second, "when a question is given up")
	listen   = flag.String("listen", ":8080", "where to answer")
)

func main() {
	flag.Parse()
	tlsConfig, err := trust()
	if err != nil {
		fmt.Fprintln(os.Stderr, "probe:", err)
		os.Exit(1)
	}
	go loop("cluster-dns", func(ctx context.Context) error { return resolve(ctx, *dns, *name) })
	go loop("kubernetes-service", func(ctx context.Context) error {
		return get(ctx, "https://"+*api+"/readyz", tlsConfig)
	})
	go loop("pod-service", func(ctx context.Context) error { return get(ctx, "http://"+*service+"/", nil) })
	err = http.ListenAndServe(*listen, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprintln(w, "good")
	}))
	fmt.Fprintln(os.Stderr, "probe:", err)
	os.Exit(1)
}

func trust() (*tls.Config, error) {
	text, err := os.ReadFile(authority)
	if err != nil {
		return nil, err
	}
	pool := x509.NewCertPool()
	if !pool.AppendCertsFromPEM(text) {
		return nil, errors.New(authority + " has no certificate")
	}
	return &tls.Config{RootCAs: pool}, nil
}

var printing sync.Mutex

// loop asks on schedule, whatever became of the questions before.
func loop(kind string, ask func(context.Context) error) {
	for range time.Tick(*every) {
		go func() {
			begin := time.Now()
			ctx, cancel := context.WithTimeout(context.Background(), *patience)
			defer cancel()
			outcome := word(ask(ctx))
			printing.Lock()
			defer printing.Unlock()
			fmt.Println(kind, begin.UnixNano(), time.Since(begin).Microseconds(), outcome)
		}()
	}
}

func word(err error) string {
	var net net.Error
	switch {
	case err == nil:
		return "good"
	case errors.As(err, &net) && net.Timeout(), errors.Is(err, context.DeadlineExceeded):
		return "timeout"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.Is(err, io.EOF), errors.Is(err, syscall.ECONNRESET):
		return "closed"
	}
	var wrong wrong
	if errors.As(err, &wrong) {
		return string(wrong)
	}
	return "error"
}

// An answer, but not the right one.
type wrong string

func (w wrong) Error() string { return string(w) }

func get(ctx context.Context, url string, config *tls.Config) error {
	transport := &http.Transport{DisableKeepAlives: true, TLSClientConfig: config}
	defer transport.CloseIdleConnections()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return wrong(fmt.Sprint("http", answer.StatusCode))
	}
	_, err = io.Copy(io.Discard, answer.Body)
	return err
}

// resolve asks once for an address, as RFC 1035 has it: no retry, no search list, no other server hides a failure.
func resolve(ctx context.Context, server, name string) error {
	connection, err := (&net.Dialer{}).DialContext(ctx, "udp", server)
	if err != nil {
		return err
	}
	defer connection.Close()
	deadline, _ := ctx.Deadline()
	connection.SetDeadline(deadline)
	id := uint16(time.Now().UnixNano())
	question := binary.BigEndian.AppendUint16(nil, id)
	// Recursion desired; one question.
	question = append(question, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0)
	for _, label := range strings.Split(strings.TrimSuffix(name, "."), ".") {
		question = append(append(question, byte(len(label))), label...)
	}
	// The root, type A, class IN.
	question = append(question, 0, 0, 1, 0, 1)
	if _, err := connection.Write(question); err != nil {
		return err
	}
	answer := make([]byte, 512)
	length, err := connection.Read(answer)
	switch {
	case err != nil:
		return err
	case length < 12 || binary.BigEndian.Uint16(answer) != id:
		return wrong("garbled")
	case answer[3]&15 != 0:
		return wrong(fmt.Sprint("rcode", answer[3]&15))
	case binary.BigEndian.Uint16(answer[6:]) == 0:
		return wrong("empty")
	}
	return nil
}
