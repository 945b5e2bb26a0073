// Package uuidv7 owns the form of request ids, UUIDv7 (RFC 9562), and how one is made of a time. It reads no clock, so
// that the client's corrected clock is the only source of that time.
package uuidv7

import (
	"crypto/rand"
	"time"

	"github.com/google/uuid"
)

// Mint makes an id that bears the time, to the millisecond; the rest is random, from the operating system. A time before
// 1970 is taken as 1970.
func Mint(now time.Time) uuid.UUID {
	var random [10]byte
	_, _ = rand.Read(random[:]) // never fails: the program is ended instead
	return Of(now.UnixMilli(), random)
}

// Of puts together a time in milliseconds and 74 random bits, right-aligned in ten bytes, as RFC 9562, section 5.7 has
// it: 48 bits of time, the version, 12 random bits, the variant, 62 random bits.
func Of(unixMs int64, random [10]byte) uuid.UUID {
	var id uuid.UUID
	ms := uint64(max(unixMs, 0))
	for i := range 6 {
		id[i] = byte(ms >> (40 - 8*i))
	}
	// The first 12 of the 74 bits are the low 2 of byte 0, all of byte 1 and the high 2 of byte 2.
	id[6] = 0x70 | random[0]<<2&0x0c | random[1]>>6
	id[7] = random[1]<<2 | random[2]>>6
	copy(id[8:], random[2:])
	id[8] = 0x80 | random[2]&0x3f
	return id
}
