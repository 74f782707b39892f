package rabbitmq

import (
	"net"
	"sync"
	"testing"
)

// proxy stands between clients and the node, and can make their lives hard.
type proxy struct {
	listener net.Listener
	target   string

	mu     sync.Mutex
	pairs  map[net.Conn]net.Conn // client -> server
	frozen chan struct{}         // closed while what the server says may pass
	done   bool
	relays sync.WaitGroup
}

func newProxy(t testing.TB, target string) *proxy {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &proxy{listener: l, target: target, pairs: map[net.Conn]net.Conn{}, frozen: make(chan struct{})}
	close(p.frozen)
	p.relays.Go(p.accept)
	t.Cleanup(p.close)
	return p
}

func (p *proxy) addr() string { return p.listener.Addr().String() }

func (p *proxy) accept() {
	for {
		client, err := p.listener.Accept()
		if err != nil {
			return
		}
		server, err := net.Dial("tcp", p.target)
		if err != nil {
			client.Close()
			continue
		}
		p.mu.Lock()
		if p.done {
			client.Close()
			server.Close()
		} else {
			p.pairs[client] = server
		}
		p.mu.Unlock()
		p.relays.Go(func() { p.relay(server, client, nil) })
		p.relays.Go(func() { p.relay(client, server, p.gate) })
	}
}

func (p *proxy) gate() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.frozen
}

// relay copies until one side ends, and then ends both.
func (p *proxy) relay(to, from net.Conn, gate func() <-chan struct{}) {
	defer to.Close()
	defer from.Close()
	buf := make([]byte, 64<<10)
	for {
		n, err := from.Read(buf)
		if gate != nil {
			<-gate()
		}
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// cut ends every connection as a broken network does.
func (p *proxy) cut() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for client, server := range p.pairs {
		for _, c := range []net.Conn{client, server} {
			_ = c.(*net.TCPConn).SetLinger(0) // a reset, without a goodbye
			c.Close()
		}
	}
	clear(p.pairs)
}

// freeze lets nothing pass that the server says, until thaw.
func (p *proxy) freeze() (thaw func()) {
	p.mu.Lock()
	defer p.mu.Unlock()
	gate := make(chan struct{})
	p.frozen = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (p *proxy) close() {
	p.mu.Lock()
	p.done = true
	p.mu.Unlock()
	p.listener.Close()
	p.cut()
	p.relays.Wait()
}
