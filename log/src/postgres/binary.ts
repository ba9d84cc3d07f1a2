/**
 * PostgreSQL's binary forms of what an append sends. node-postgres sends a Buffer parameter in binary, so
 * thousands of ids travel as one memory copy instead of as text that both sides would have to format and parse.
 */
const oids = { bytea: 17, int8: 20, int2: 21, int4: 23, uuid: 2950 } as const

function header(buffer: Buffer, type: keyof typeof oids, length: number): number {
  buffer.writeInt32BE(length === 0 ? 0 : 1, 0) // dimensions
  buffer.writeInt32BE(0, 4) // no nulls
  buffer.writeInt32BE(oids[type], 8)
  if (length === 0) return 12
  buffer.writeInt32BE(length, 12)
  buffer.writeInt32BE(1, 16) // lower bound
  return 20
}

const sizeOf = (length: number, each: number) => (length === 0 ? 12 : 20 + length * (4 + each))

/** int2[], int4[] or int8[] of whole numbers up to 2^53. */
export function intArray(type: 'int2' | 'int4' | 'int8', values: ArrayLike<number>): Buffer {
  const width = type === 'int2' ? 2 : type === 'int4' ? 4 : 8
  const buffer = Buffer.allocUnsafe(sizeOf(values.length, width))
  let at = header(buffer, type, values.length)
  for (let i = 0; i < values.length; i++) {
    const value = values[i] as number
    buffer.writeInt32BE(width, at)
    if (width === 2) buffer.writeInt16BE(value, at + 4)
    else if (width === 4) buffer.writeInt32BE(value, at + 4)
    else {
      const high = Math.floor(value / 0x1_0000_0000)
      buffer.writeInt32BE(high, at + 4)
      buffer.writeUInt32BE(value - high * 0x1_0000_0000, at + 8)
    }
    at += 4 + width
  }
  return buffer
}

/** uuid[] from texts of 32 hex digits or of a UUID's 36 characters, written straight into the parameter. */
export function uuidArray(texts: readonly string[]): Buffer {
  const buffer = Buffer.allocUnsafe(sizeOf(texts.length, 16))
  let at = header(buffer, 'uuid', texts.length)
  for (const text of texts) {
    buffer.writeInt32BE(16, at)
    writeUuid(buffer, at + 4, text)
    at += 20
  }
  return buffer
}

/** bytea[]. */
export function byteaArray(values: readonly Uint8Array[]): Buffer {
  const bytes = values.reduce((sum, value) => sum + value.length, 0)
  const buffer = Buffer.allocUnsafe(sizeOf(values.length, 0) + bytes)
  let at = header(buffer, 'bytea', values.length)
  for (const value of values) {
    buffer.writeInt32BE(value.length, at)
    buffer.set(value, at + 4)
    at += 4 + value.length
  }
  return buffer
}

const hexValue = new Uint8Array(128)
for (let i = 0; i < 10; i++) hexValue[48 + i] = i
for (let i = 0; i < 6; i++) {
  hexValue[97 + i] = 10 + i
  hexValue[65 + i] = 10 + i
}
const plainDigits = Array.from({ length: 16 }, (_, i) => 2 * i)
const dashedDigits = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34]

/** Writes the 16 bytes of a UUID, with or without dashes (the caller has checked it), at a place of a buffer. */
export function writeUuid(into: Uint8Array, at: number, text: string): void {
  const digits = text.length === 32 ? plainDigits : dashedDigits
  for (let i = 0; i < 16; i++) {
    const digit = digits[i] as number
    into[at + i] =
      ((hexValue[text.charCodeAt(digit)] as number) << 4) | (hexValue[text.charCodeAt(digit + 1)] as number)
  }
}
