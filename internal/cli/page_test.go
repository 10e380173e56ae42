package cli

import (
	"errors"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestEachPage(t *testing.T) {
	const stored = 2500
	list := func(limit int, last *int) (page []int, err error) {
		next := 0
		if last != nil {
			next = *last + 1
		}
		for ; next < stored && len(page) < limit; next++ {
			page = append(page, next)
		}
		return page, nil
	}
	for _, test := range []struct {
		name        string
		limit, want int
	}{
		{"all", 0, stored},
		{"one", 1, 1},
		{"a page", 1000, 1000},
		{"one more than a page", 1001, 1001},
		{"just all", stored, stored},
		{"more than there are", 10_000, stored},
	} {
		t.Run(test.name, func(t *testing.T) {
			n := 0
			for item, err := range eachPage(test.limit, list) {
				require.NoError(t, err)
				require.Equal(t, n, *item)
				n++
			}
			assert.Equal(t, test.want, n)
		})
	}
	t.Run("stops when asked to", func(t *testing.T) {
		n := 0
		for range eachPage(0, list) {
			if n++; n == 1500 {
				break
			}
		}
		assert.Equal(t, 1500, n)
	})
	t.Run("an error ends it", func(t *testing.T) {
		away := errors.New("away")
		n := 0
		var last error
		for _, err := range eachPage(0, func(limit int, last *int) ([]int, error) {
			if last != nil {
				return nil, away
			}
			return list(limit, last)
		}) {
			n, last = n+1, err
		}
		assert.Equal(t, 1001, n)
		assert.ErrorIs(t, last, away)
	})
}
