//go:build linux

package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strconv"
)

// reader reads the API as an operator's console does.
type reader struct {
	target *url.URL
	token  string
	users  int
	ids    []string
}

// client is one of its connections. net/http's takes longer for a request than the API
// for some answers, on the core that they share.
type client struct {
	*reader
	conn    net.Conn
	in      *bufio.Reader
	request []byte
	body    []byte
}

func (r *reader) connect() (*client, error) {
	conn, err := net.Dial("tcp", r.target.Host)
	if err != nil {
		return nil, err
	}
	return &client{reader: r, conn: conn, in: bufio.NewReaderSize(conn, 64<<10)}, nil
}

// findIDs learns the ids of some users.
func (r *reader) findIDs() error {
	c, err := r.connect()
	if err != nil {
		return err
	}
	defer c.conn.Close()
	if err := c.get("/users?limit=1000"); err != nil {
		return err
	}
	var list struct {
		Items []struct{ ID string }
	}
	if err := json.Unmarshal(c.body, &list); err != nil {
		return err
	}
	for _, user := range list.Items {
		r.ids = append(r.ids, user.ID)
	}
	if len(r.ids) == 0 {
		return errors.New("there are no users")
	}
	return nil
}

// read makes the nth read, and looks whether the answer is the right one.
func (c *client) read(n int) error {
	switch n % 4 {
	case 0, 1:
		name := userName(1 + n*7919%c.users)
		return c.getWith("/users?limit=10&q="+name, `"username":"`+name+`"`)
	case 2:
		id := c.ids[n*31%len(c.ids)]
		return c.getWith("/users/"+id, `"id":"`+id+`"`)
	}
	return c.getWith("/sessions?online=true&limit=10", `"items":[`)
}

func (c *client) getWith(path, want string) error {
	err := c.get(path)
	if err == nil && !bytes.Contains(c.body, []byte(want)) {
		return fmt.Errorf("%s: the answer is without %s", path, want)
	}
	return err
}

// get leaves the answer in body.
func (c *client) get(path string) error {
	c.request = fmt.Appendf(c.request[:0], "GET %s%s HTTP/1.1\r\nHost: %s\r\nAuthorization: Bearer %s\r\n\r\n", c.target.Path, path, c.target.Host, c.token)
	if _, err := c.conn.Write(c.request); err != nil {
		return err
	}
	status, length, err := c.head()
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	c.body = c.body[:0]
	if length >= 0 {
		err = c.take(length)
	} else {
		err = c.takeChunks()
	}
	if err == nil && status != http.StatusOK {
		err = fmt.Errorf("status %d", status)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// head reads an answer up to its body, whose length is below zero if it comes in chunks.
func (c *client) head() (status, length int, err error) {
	line, err := c.in.ReadSlice('\n')
	if err != nil {
		return 0, 0, err
	}
	if len(line) < 12 || !bytes.HasPrefix(line, []byte("HTTP/1.1 ")) {
		return 0, 0, fmt.Errorf("%q is no answer", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, 0, err
	}
	for length = -1; ; {
		if line, err = c.in.ReadSlice('\n'); err != nil {
			return 0, 0, err
		}
		if line = bytes.TrimRight(line, "\r\n"); len(line) == 0 {
			return status, length, nil
		}
		if value, is := bytes.CutPrefix(line, []byte("Content-Length: ")); is {
			if length, err = strconv.Atoi(string(value)); err != nil {
				return 0, 0, err
			}
		}
	}
}

// take appends so many octets to the body.
func (c *client) take(n int) error {
	at := len(c.body)
	c.body = append(c.body, make([]byte, n)...)
	_, err := io.ReadFull(c.in, c.body[at:])
	return err
}

// takeChunks reads a body of chunks (RFC 9112 section 7.1).
func (c *client) takeChunks() error {
	for {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(bytes.TrimRight(line, "\r\n")), 16, 32)
		if err != nil {
			return err
		}
		if err := c.take(int(n)); err != nil {
			return err
		}
		if _, err := c.in.ReadSlice('\n'); err != nil || n == 0 {
			return err
		}
	}
}
