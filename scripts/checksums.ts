const bits = (value: number, polynomial: number, width: number): number => {
  const top = 2 ** (width - 1)
  let crc = value * 2 ** (width - 8)
  for (let bit = 0; bit < 8; bit++) crc = crc >= top ? (((crc - top) * 2) ^ polynomial) >>> 0 : crc * 2
  return crc
}

/** The plain CRC that audio containers use: highest bit first, starting at 0, nothing inverted. */
function crcOf (polynomial: number, width: 8 | 16 | 32): (bytes: Uint8Array) => number {
  const table = Array.from({ length: 256 }, (_, index) => bits(index, polynomial, width))
  const mask = 2 ** width - 1
  return bytes => {
    let crc = 0
    for (const byte of bytes) crc = (((crc << 8) & mask) ^ (table[((crc >>> (width - 8)) ^ byte) & 0xff] ?? 0)) >>> 0
    return crc
  }
}

/** CRC of a FLAC frame header, RFC 9639 section 9.1.8. */
export const crc8 = crcOf(0x07, 8)
/** CRC of a FLAC frame, RFC 9639 section 9.3. */
export const crc16 = crcOf(0x8005, 16)
/** CRC of an Ogg page, RFC 3533 section 6. */
export const oggCrc = crcOf(0x04c11db7, 32)
