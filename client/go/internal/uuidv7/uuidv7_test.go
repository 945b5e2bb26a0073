package uuidv7

import (
	"testing"
	"time"
)

// The example of RFC 9562, appendix A.6: 0x017F22E279B0 ms, rand_a 0xCC3, rand_b 0x18C4DC0C0C07398F.
const vector = "017f22e2-79b0-7cc3-98c4-dc0c0c07398f"

func TestTheVectorOfTheRFC(t *testing.T) {
	random := [10]byte{0x03, 0x30, 0xd8, 0xc4, 0xdc, 0x0c, 0x0c, 0x07, 0x39, 0x8f} // 74 bits, right-aligned
	if got := Of(0x017f22e279b0, random).String(); got != vector {
		t.Errorf("made %s, want %s", got, vector)
	}
}

func TestMintBearsItsTime(t *testing.T) {
	id := Mint(time.UnixMilli(0x017f22e279b0))
	if id.Version() != 7 || id.String()[:13] != vector[:13] {
		t.Errorf("made %s", id)
	}
}
