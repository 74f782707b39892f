package kubedev

import (
	"context"
	"io"
	"net"
	"sync"
)

// forward hands every connection of a listener on to an address.
type forward struct {
	address  string
	listener net.Listener
	wg       sync.WaitGroup
}

// serve ends when the listener is closed.
func (f *forward) serve(ctx context.Context) {
	for {
		in, err := f.listener.Accept()
		if err != nil {
			return
		}
		f.wg.Go(func() { f.connect(ctx, in) })
	}
}

// connect copies both ways until one side ends, or ctx does.
func (f *forward) connect(ctx context.Context, in net.Conn) {
	defer in.Close()
	out, err := new(net.Dialer).DialContext(ctx, "tcp", f.address)
	if err != nil {
		return // the pod sees that its connection ends
	}
	defer out.Close()
	defer context.AfterFunc(ctx, func() { in.Close(); out.Close() })()
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_, _ = io.Copy(out, in) // whichever side ends it, both end
		out.Close()
	}()
	_, _ = io.Copy(in, out)
	in.Close()
	<-ended
}
