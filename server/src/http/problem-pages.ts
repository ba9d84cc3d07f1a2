import { type ProblemCode, problems } from '@pulse/protocol/problem'
import type { FastifyReply, FastifyRequest } from 'fastify'
import { z } from 'zod'
import type { Http } from './http.ts'
import { ProblemError } from './problem-error.ts'

const kindSchema = z
  .object({
    type: z.string().describe('The address of this page; the `type` of every such problem.'),
    code: z.string(),
    status: z.int(),
    title: z.string(),
    help: z.string().describe('What happened and what to do.'),
    retryable: z.boolean().describe('True if the same request can succeed later.'),
  })
  .meta({ id: 'ProblemKind' })
type Kind = z.infer<typeof kindSchema>

const codes = Object.keys(problems) as ProblemCode[]
const kindOf = (code: ProblemCode): Kind => ({ type: `/docs/problems/${code}`, code, ...problems[code] })

/** Registers the pages that the `type` of a problem leads to: HTML for people, JSON for everything else. */
export function problemPages(http: Http): void {
  http.get('/docs/problems', {
    config: { access: 'public' },
    schema: {
      tags: ['operations'],
      summary: 'Every problem that this API answers with',
      response: { 200: z.object({ data: z.array(kindSchema) }) },
    },
    handler: async (request, reply) => {
      const data = codes.map(kindOf)
      return wantsHtml(request, reply) ? sendPage(reply, listPage(data)) : reply.send({ data })
    },
  })
  http.get('/docs/problems/:code', {
    config: { access: 'public' },
    schema: {
      tags: ['operations'],
      summary: 'One problem: what happened and what to do',
      params: z.object({ code: z.string() }),
      response: { 200: kindSchema },
    },
    handler: async (request, reply) => {
      const code = codes.find((one) => one === request.params.code)
      if (code === undefined)
        throw new ProblemError('not_found', 'No problem has this code. /docs/problems lists all.')
      const kind = kindOf(code)
      return wantsHtml(request, reply) ? sendPage(reply, kindPage(kind)) : reply.send(kind)
    },
  })
}

function wantsHtml(request: FastifyRequest, reply: FastifyReply): boolean {
  reply.header('vary', 'Accept')
  return /\btext\/html\b/i.test(request.headers.accept ?? '')
}

function sendPage(reply: FastifyReply, html: string): FastifyReply {
  return reply
    .type('text/html; charset=utf-8')
    .serializer((text: string) => text)
    .send(html)
}

const style = `
:root { color-scheme: light dark; --ink: #1a1d21; --soft: #5b636e; --line: #d9dee5; --paper: #fff; --chip: #eef1f5; --link: #1456c4 }
@media (prefers-color-scheme: dark) { :root { --ink: #e8ebef; --soft: #a2abb7; --line: #333a43; --paper: #14171b; --chip: #232930; --link: #86b3ff } }
* { box-sizing: border-box }
body { margin: 0 auto; max-width: 46rem; padding: 3rem 1.25rem; background: var(--paper); color: var(--ink); font: 1rem/1.55 system-ui, sans-serif }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .25rem 0 1rem }
a { color: var(--link) } p { margin: .75rem 0 } .soft { color: var(--soft) }
code { background: var(--chip); border-radius: .25rem; padding: .1rem .35rem; font: .875em ui-monospace, monospace; overflow-wrap: anywhere }
table { border-collapse: collapse; width: 100% } th { text-align: left; font-weight: 600; color: var(--soft) }
th, td { padding: .5rem .75rem .5rem 0; border-bottom: 1px solid var(--line); vertical-align: top }
td:first-child { font-variant-numeric: tabular-nums }`

function page(title: string, body: string): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)} · Pulse</title><style>${style}</style></head><body><main>${body}</main></body></html>`
}

function listPage(kinds: readonly Kind[]): string {
  const rows = kinds
    .toSorted((a, b) => a.status - b.status)
    .map(
      (kind) =>
        `<tr><td>${kind.status}</td><td><a href="${kind.type}"><code>${kind.code}</code></a></td><td>${escapeHtml(kind.title)}</td></tr>`,
    )
  return page(
    'Problems',
    `<h1>Problems</h1>
<p>Every error is <code>application/problem+json</code> (RFC 9457). Its <code>code</code> never changes its meaning; its <code>type</code> leads here.</p>
<table><thead><tr><th scope="col">Status</th><th scope="col">Code</th><th scope="col">Title</th></tr></thead><tbody>${rows.join('')}</tbody></table>`,
  )
}

function kindPage(kind: Kind): string {
  const again = kind.retryable
    ? 'The same request can succeed later: wait for <code>Retry-After</code> where it is sent.'
    : 'Sending the same request again will not help.'
  return page(
    kind.title,
    `<p class="soft"><a href="/docs/problems">Problems</a> / <code>${kind.code}</code></p>
<h1>${escapeHtml(kind.title)}</h1><p class="soft">HTTP status ${kind.status}</p>
<p>${withCode(kind.help)}</p><p>${again}</p>
<p class="soft">The <code>request_id</code> of an answer, also in its <code>X-Request-Id</code> header, finds it in the server log.</p>`,
  )
}

/** The catalogue's texts mark code by backquotes. */
function withCode(text: string): string {
  return escapeHtml(text).replaceAll(/`([^`]+)`/g, '<code>$1</code>')
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
}
