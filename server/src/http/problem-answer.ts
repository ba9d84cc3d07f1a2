import { type ProblemCode, problems } from '@pulse/protocol/problem'
import type { InvalidMember } from '@pulse/protocol/receipt'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { ProblemError } from './problem-error.ts'
import type { HttpReport } from './report.ts'
import { isUpgrade } from './upgrade.ts'

interface ProblemParts {
  readonly code: ProblemCode
  readonly detail: string
  readonly requestId: string
  readonly errors?: readonly InvalidMember[] | undefined
  /** Whole seconds. */
  readonly retryAfter?: number | undefined
  readonly members?: Readonly<Record<string, unknown>> | undefined
}

/** RFC 9457 body as text: the shape of `problemSchema`. */
export function problemBody({ code, detail, requestId, errors, retryAfter, members }: ProblemParts): string {
  const { title, status } = problems[code]
  return JSON.stringify({
    type: `/docs/problems/${code}`,
    title,
    status,
    detail,
    code,
    request_id: requestId,
    error: title,
    timestamp: new Date().toISOString(),
    errors,
    retry_after: retryAfter,
    ...members,
  })
}

/** Answers any error that reached the end of a request: problems as they are, everything unknown as `internal`, logged. */
export function answerError(
  error: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
  report: HttpReport,
): void {
  const problem = toProblem(error, request)
  if (problem.code === 'internal') report.internalError(request.id, error)
  const { code, message, options } = problem
  if ((code === 'payload_too_large' || code === 'unauthenticated') && !isUpgrade(request)) {
    // The framework would close the connection with the rest of the body still unread, and the reset that follows often
    // overtakes the answer. Node reads and drops the rest instead, for as long as a request may take.
    reply.removeHeader('connection')
  }
  if (options.headers) reply.headers(options.headers)
  if (options.retryAfter !== undefined) reply.header('retry-after', String(options.retryAfter))
  const { errors, retryAfter, members } = options
  reply
    .code(problem.status)
    .type('application/problem+json')
    .serializer(asIs)
    .send(problemBody({ code, detail: message, requestId: request.id, errors, retryAfter, members }))
}

const asIs = (text: string): string => text

const codesOfFramework: Readonly<Record<string, ProblemCode>> = {
  FST_ERR_CTP_BODY_TOO_LARGE: 'payload_too_large',
  FST_ERR_CTP_INVALID_MEDIA_TYPE: 'unsupported_media_type',
  FST_ERR_CTP_INVALID_JSON_BODY: 'invalid_json',
  FST_ERR_CTP_EMPTY_JSON_BODY: 'invalid_json',
  FST_ERR_MAX_PARAM_LENGTH: 'uri_too_long',
}

const codesOfStatus: Readonly<Record<number, ProblemCode>> = {
  // Who may is decided by problems of our own. What else says 403 is the plugin that serves files, of a path that
  // leaves its folder: nothing is there, and no credential would change that.
  403: 'not_found',
  404: 'not_found',
  405: 'method_not_allowed',
  406: 'not_acceptable',
  408: 'request_timeout',
  413: 'payload_too_large',
  414: 'uri_too_long',
  415: 'unsupported_media_type',
  431: 'too_many_headers',
}

function toProblem(error: unknown, request: FastifyRequest): ProblemError {
  if (error instanceof ProblemError) return error
  if (!(error instanceof Error)) return internal(error)
  const { code = '', statusCode = 500 } = error as Error & { code?: string; statusCode?: number }
  // A damaged gzip, deflate or brotli stream.
  if (/^(Z_|ERR_BROTLI|ERR__ERROR_FORMAT|ERR_PADDING|ERR__)/.test(code)) {
    return new ProblemError('invalid_encoding', 'The body is not what its Content-Encoding says.', {
      cause: error,
    })
  }
  const known = codesOfFramework[code]
  if (known === 'payload_too_large') {
    // The request of an error before routing has no route, and no body that could be too large either.
    const most = request.routeOptions.bodyLimit.toLocaleString('en-US')
    return new ProblemError(known, `The body is longer than ${most} bytes, unpacked.`, { cause: error })
  }
  if (known !== undefined) return new ProblemError(known, detailOf(known, error), { cause: error })
  if (statusCode < 400 || statusCode > 499) return internal(error)
  // JSON that is refused by the parser of ordinary routes, a prototype member among it.
  if (error.name === 'SyntaxError') return new ProblemError('invalid_json', error.message, { cause: error })
  const byStatus = codesOfStatus[statusCode] ?? 'invalid_request'
  return new ProblemError(byStatus, detailOf(byStatus, error), { cause: error })
}

function internal(cause: unknown): ProblemError {
  return new ProblemError(
    'internal',
    'Something went wrong here. The request_id finds it in the server log.',
    { cause },
  )
}

function detailOf(code: ProblemCode, error: Error): string {
  // The framework's own sentences are about the request; those of unknown plugins might be about our insides.
  const { code: from = '' } = error as Error & { code?: string }
  return from.startsWith('FST_ERR_') ? error.message : problems[code].help
}
