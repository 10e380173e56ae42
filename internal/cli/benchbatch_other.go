//go:build !linux

package cli

import "net"

// batchConn reads and writes datagrams of a connected socket one at a time.
type batchConn struct{ conn *net.UDPConn }

func (c *batchConn) open(conn *net.UDPConn) error {
	c.conn = conn
	return nil
}

// read waits for a datagram and appends it to datagrams. It is in buffer.
func (c *batchConn) read(buffer []byte, datagrams [][]byte) ([][]byte, error) {
	n, err := c.conn.Read(buffer[:longestAnswer])
	if err != nil {
		return datagrams, err
	}
	return append(datagrams, buffer[:n]), nil
}

// write sends the packets that end at ends of all. An error is the last one; the
// others were sent nevertheless.
func (c *batchConn) write(all []byte, ends []int) (last error) {
	begin := 0
	for _, end := range ends {
		if _, err := c.conn.Write(all[begin:end]); err != nil {
			last = err
		}
		begin = end
	}
	return last
}
