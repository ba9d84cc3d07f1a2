/**
 * One whole, unmasked text message of RFC 6455 around these parts, which are UTF-8 already. Made here rather than by
 * the socket's `send`, so that one message is framed once however many sockets it goes to.
 */
export function textMessage(parts: readonly Uint8Array[]): Buffer {
  let length = 0
  for (const part of parts) length += part.length
  const head = length < 126 ? 2 : length < 65_536 ? 4 : 10
  const message = Buffer.allocUnsafe(head + length)
  message[0] = 0x81
  if (head === 2) message[1] = length
  else if (head === 4) {
    message[1] = 126
    message.writeUInt16BE(length, 2)
  } else {
    message[1] = 127
    message.writeUInt32BE(Math.floor(length / 2 ** 32), 2)
    message.writeUInt32BE(length >>> 0, 6)
  }
  let at = head
  for (const part of parts) {
    message.set(part, at)
    at += part.length
  }
  return message
}
