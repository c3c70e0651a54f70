// Rewrites containerd's bolt databases in place so that equal contents have equal bytes: keys in
// order, and fixed values for what depends on when and on which file system an image
// was unpacked.
package main

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"time"

	bolt "go.etcd.io/bbolt"
)

func main() {
	for _, path := range os.Args[1:] {
		if err := rewrite(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			os.Exit(1)
		}
	}
}

func rewrite(path string) error {
	fixed, err := fixedValues()
	if err != nil {
		return err
	}
	from, err := bolt.Open(path, 0o600, &bolt.Options{ReadOnly: true})
	if err != nil {
		return err
	}
	defer from.Close()
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	next := path + ".next"
	to, err := bolt.Open(next, info.Mode(), &bolt.Options{NoSync: true})
	if err != nil {
		return err
	}
	err = from.View(func(source *bolt.Tx) error {
		return source.ForEach(func(name []byte, bucket *bolt.Bucket) error {
			return copyBucket(to, bucket, [][]byte{name}, fixed)
		})
	})
	if err != nil {
		return err
	}
	if err := to.Sync(); err != nil {
		return err
	}
	if err := to.Close(); err != nil {
		return err
	}
	return os.Rename(next, path)
}

// Copies everything in a bucket to the bucket at a path, in the order of its keys. Each bucket has a
// transaction of its own: several in one would be written in the random order of a map.
func copyBucket(to *bolt.DB, from *bolt.Bucket, path [][]byte, fixed map[string][]byte) error {
	err := to.Update(func(target *bolt.Tx) error {
		bucket, err := open(target, path)
		if err != nil {
			return err
		}
		if err := bucket.SetSequence(from.Sequence()); err != nil {
			return err
		}
		return from.ForEach(func(key, value []byte) error {
			if value == nil {
				return nil
			}
			if replacement, found := fixed[string(key)]; found {
				value = replacement
			}
			return bucket.Put(key, value)
		})
	})
	if err != nil {
		return err
	}
	return from.ForEachBucket(func(key []byte) error {
		return copyBucket(to, from.Bucket(key), append(slices.Clone(path), key), fixed)
	})
}

// Opens the bucket at a path, and makes its last part.
func open(transaction *bolt.Tx, path [][]byte) (*bolt.Bucket, error) {
	if len(path) == 1 {
		return transaction.CreateBucket(path[0])
	}
	bucket := transaction.Bucket(path[0])
	for _, name := range path[1 : len(path)-1] {
		bucket = bucket.Bucket(name)
	}
	return bucket.CreateBucket(path[len(path)-1])
}

// The values of keys whose value is not the image's: times, at SOURCE_DATE_EPOCH.
func fixedValues() (map[string][]byte, error) {
	seconds, err := strconv.ParseInt(os.Getenv("SOURCE_DATE_EPOCH"), 10, 64)
	if err != nil {
		return nil, err
	}
	epoch, err := time.Unix(seconds, 0).UTC().MarshalBinary()
	if err != nil {
		return nil, err
	}
	return map[string][]byte{"createdat": epoch, "updatedat": epoch}, nil
}
