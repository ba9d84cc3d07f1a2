import type { FastifyReply, FastifyRequest } from 'fastify'

export const sessionSecondsMax = 12 * 3_600

/** A browser only takes a `__Host-` cookie over https, for this host alone; over plain http it would drop it. */
const nameOf = (secure: boolean) => (secure ? '__Host-pulse_session' : 'pulse_session')

function isSecure(request: FastifyRequest, publicUrl: string | undefined): boolean {
  return request.protocol === 'https' || publicUrl?.startsWith('https:') === true
}

/** The session's secret that a browser sent, if any. */
export function readSessionCookie(
  request: FastifyRequest,
  publicUrl: string | undefined,
): string | undefined {
  const { cookie } = request.headers
  if (cookie === undefined) return undefined
  const name = `${nameOf(isSecure(request, publicUrl))}=`
  const part = cookie.split(';').find((one) => one.trimStart().startsWith(name))
  return part?.trim().slice(name.length)
}

/** Gives the browser the session's secret, or with `undefined` takes it away. */
export function writeSessionCookie(
  { request, reply }: { request: FastifyRequest; reply: FastifyReply },
  publicUrl: string | undefined,
  secret: string | undefined,
): void {
  const secure = isSecure(request, publicUrl)
  const life = secret === undefined ? 'Max-Age=0' : `Max-Age=${sessionSecondsMax}`
  const flags = `Path=/; HttpOnly; SameSite=Strict; ${life}${secure ? '; Secure' : ''}`
  reply.header('set-cookie', `${nameOf(secure)}=${secret ?? ''}; ${flags}`)
}
