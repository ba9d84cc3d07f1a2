import { isUtf8 } from 'node:buffer'
import type { Transform } from 'node:stream'
import { createBrotliDecompress, createGunzip, createInflate } from 'node:zlib'
import type { FastifyInstance, preParsingHookHandler } from 'fastify'
import { ProblemError } from './problem-error.ts'

const decoders: ReadonlyMap<string, () => Transform> = new Map([
  ['gzip', () => createGunzip()],
  ['x-gzip', () => createGunzip()],
  ['deflate', () => createInflate()],
  ['br', () => createBrotliDecompress()],
])

/**
 * Unpacks a body on its way in. It stops at `bytesMax` of unpacked bytes, so that a few compressed kilobytes can cost
 * neither gigabytes of memory nor seconds of work; the parser behind it answers `payload_too_large`.
 */
export function createDecompression(bytesMax: number): preParsingHookHandler {
  return (request, _reply, payload, done) => {
    const encoding = request.headers['content-encoding']
    if (encoding === undefined) {
      done(null, payload)
      return
    }
    const name = encoding.trim().toLowerCase()
    if (name === 'identity' || name === '') {
      done(null, payload)
      return
    }
    const make = decoders.get(name)
    if (make === undefined) {
      done(
        new ProblemError('unsupported_media_type', 'Content-Encoding must be gzip, deflate or br, once.', {
          headers: { 'accept-encoding': 'gzip, deflate, br' },
        }),
      )
      return
    }
    // The framework compares Content-Length with this member: the length as it came over the wire.
    const decoder = Object.assign(make(), { receivedEncodedLength: 0 })
    let unpackedBytes = 0
    payload.on('data', (chunk: Buffer) => {
      decoder.receivedEncodedLength += chunk.length
    })
    payload.on('error', (error) => decoder.destroy(error))
    // The parser stops listening for errors once it has given up on a body; the stream may still report one.
    decoder.on('error', () => {})
    decoder.on('data', (chunk: Buffer) => {
      unpackedBytes += chunk.length
      if (unpackedBytes <= bytesMax) return
      payload.unpipe(decoder)
      // The rest is read and thrown away, still packed, so that the client gets to read its answer.
      payload.resume()
      decoder.destroy()
    })
    payload.pipe(decoder)
    decoder.pause()
    done(null, decoder)
  }
}

/** JSON for ordinary routes: UTF-8 or refused, and no member that could reach a prototype. */
export function acceptJson(http: FastifyInstance): void {
  const parse = http.getDefaultJsonParser('error', 'error')
  http.removeAllContentTypeParsers()
  http.addContentTypeParser(
    /^application\/(.+\+)?json/,
    { parseAs: 'buffer' },
    (request, body: Buffer, done) => {
      if (body.length === 0) {
        // A DELETE with a content type and no body is common; where a body is needed its schema asks for it.
        done(null, undefined)
        return
      }
      if (!isUtf8(body)) {
        done(new ProblemError('invalid_encoding', 'The body is not valid UTF-8.'))
        return
      }
      parse(request, body.toString('utf8'), done)
    },
  )
}

/**
 * Lets the routes of this scope take the body as it came: `request.body` is a Buffer for every content type, unpacked
 * but neither decoded nor parsed, and undefined when there is none. Use it inside `http.register(async (scope) => …)`.
 */
export function takeRawBodies(scope: FastifyInstance): void {
  scope.removeAllContentTypeParsers()
  scope.addContentTypeParser('*', { parseAs: 'buffer' }, (_request, body, done) => done(null, body))
}
