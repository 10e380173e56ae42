package redis

import (
	"hash/fnv"
	"strconv"
)

// buckets is how many parts the users fall into. All keys of a part have its
// number as their hash tag, and so lie in one slot of a cluster: a script may touch
// a user's keys and the part's index of who is online together. With the user's
// name as the tag the index could not be kept by the same script; with a few
// hundred parts the masters of a cluster still get even shares. A name stands behind
// the tag, so whatever octets it is made of, it cannot become one.
const buckets = 256

// keys makes the names of keys.
type keys struct{ prefix string }

func bucketOf(username string) int {
	h := fnv.New32a()
	h.Write([]byte(username))
	return int(h.Sum32() % buckets)
}

func (k keys) inBucket(bucket int, what string) string {
	return k.prefix + ":{" + strconv.Itoa(bucket) + "}:" + what
}

// online is the index of the open sessions of a part: a sorted set by deadline.
func (k keys) online(bucket int) string { return k.inBucket(bucket, "online") }

// marker tells whether the part still holds what was written there.
func (k keys) marker(bucket int) string { return k.inBucket(bucket, "marker") }

// ended is the stream of sessions that have ended.
func (k keys) ended() string { return k.prefix + ":ended" }

// userKeys are the keys of one user.
type userKeys struct{ live, closed, usage, online string }

func (k keys) user(username string) userKeys {
	bucket := bucketOf(username)
	base := k.inBucket(bucket, "")
	return userKeys{base + "live:" + username, base + "closed:" + username, base + "usage:" + username, k.online(bucket)}
}
