package md5x8

import (
	"crypto/md5"
	"math/rand/v2"
	"testing"

	"github.com/stretchr/testify/require"
)

func available(t testing.TB) {
	if !Available() {
		t.Skip("this processor has no AVX2")
	}
}

// message is one with the padding, and its digest according to crypto/md5.
func message(text []byte) (Message, [Size]byte) {
	return Message{State: Initial, Blocks: Pad(append([]byte(nil), text...), 0)}, md5.Sum(text)
}

// The test suite of RFC 1321, appendix A.5.
func TestVectors(t *testing.T) {
	available(t)
	var messages []Message
	var want [][Size]byte
	for _, text := range []string{
		"", "a", "abc", "message digest", "abcdefghijklmnopqrstuvwxyz",
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789",
		"12345678901234567890123456789012345678901234567890123456789012345678901234567890",
	} {
		m, digest := message([]byte(text))
		messages, want = append(messages, m), append(want, digest)
	}
	Sum(messages)
	for i := range messages {
		require.Equal(t, want[i], messages[i].State.Digest())
	}
	require.Equal(t, [Size]byte{0xd4, 0x1d, 0x8c, 0xd9, 0x8f, 0, 0xb2, 4, 0xe9, 0x80, 9, 0x98, 0xec, 0xf8, 0x42, 0x7e}, messages[0].State.Digest())
}

// Any number of messages of any lengths, in any lanes, some with nothing to hash.
func TestAgreesWithStandardLibrary(t *testing.T) {
	available(t)
	random := rand.New(rand.NewPCG(1, 2))
	for n := range 60 {
		messages, want := make([]Message, n), make([][Size]byte, n)
		for i := range messages {
			text := make([]byte, random.IntN(400))
			for j := range text {
				text[j] = byte(random.Uint32())
			}
			messages[i], want[i] = message(text)
			if random.IntN(10) == 0 {
				messages[i].Blocks = nil
				want[i] = Initial.digest()
			}
		}
		Sum(messages)
		for i := range messages {
			require.Equal(t, want[i], messages[i].State.Digest(), "message %d of %d", i, n)
		}
	}
}

func (s State) digest() [Size]byte { return s.Digest() }

// A state is where another message goes on.
func TestStateGoesOn(t *testing.T) {
	available(t)
	text := make([]byte, 200)
	first := []Message{{State: Initial, Blocks: text[:128]}}
	Sum(first)
	second := []Message{{State: first[0].State, Blocks: Pad(append([]byte(nil), text[128:]...), 128)}}
	Sum(second)
	require.Equal(t, md5.Sum(text), second[0].State.Digest())
}

func TestAllocatesNothing(t *testing.T) {
	available(t)
	m, _ := message(make([]byte, 100))
	messages := []Message{m, m, m}
	require.Zero(t, testing.AllocsPerRun(100, func() { Sum(messages) }))
}

func FuzzSum(f *testing.F) {
	f.Add([]byte("a message"), byte(3))
	f.Fuzz(func(t *testing.T, text []byte, n byte) {
		available(t)
		messages, want := make([]Message, n%32), make([][Size]byte, n%32)
		for i := range messages {
			messages[i], want[i] = message(text[i*len(text)/len(messages):])
		}
		Sum(messages)
		for i := range messages {
			require.Equal(t, want[i], messages[i].State.Digest())
		}
	})
}

// BenchmarkSum is per message of two blocks; compare Standard.
func BenchmarkSum(b *testing.B) {
	for _, n := range []int{1, 2, 4, 8, 32} {
		b.Run(string(rune('0'+n/10))+string(rune('0'+n%10)), func(b *testing.B) {
			available(b)
			messages := make([]Message, n)
			for i := range messages {
				messages[i], _ = message(make([]byte, 100))
			}
			for b.Loop() {
				Sum(messages)
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n), "ns/message")
		})
	}
	b.Run("Standard", func(b *testing.B) {
		text := make([]byte, 100)
		for b.Loop() {
			md5.Sum(text)
		}
		b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N), "ns/message")
	})
}
