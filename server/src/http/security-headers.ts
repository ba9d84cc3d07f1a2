/**
 * Headers of every answer. They are a constant table rather than a plugin that computes them per request: the values
 * never change while a server runs, and events arrive twenty thousand times a second.
 *
 * Scripts come from this server only, never inline. Inline styles are allowed, because the components of the dashboard
 * and the API page set them at run time, and a style cannot run code.
 */
export function securityHeaders(https: boolean): Readonly<Record<string, string>> {
  const policy = [
    "default-src 'none'",
    "script-src 'self'",
    "style-src 'self' 'unsafe-inline'",
    "img-src 'self' data:",
    "font-src 'self'",
    "connect-src 'self'",
    "manifest-src 'self'",
    "base-uri 'none'",
    "form-action 'self'",
    "frame-ancestors 'none'",
    "object-src 'none'",
  ]
  return {
    'content-security-policy': policy.join('; '),
    'x-content-type-options': 'nosniff',
    'x-frame-options': 'DENY',
    'referrer-policy': 'no-referrer',
    'cross-origin-opener-policy': 'same-origin',
    'cross-origin-resource-policy': 'same-origin',
    // A browser that once saw plain http for this host would otherwise be locked out of every other service on it.
    ...(https ? { 'strict-transport-security': 'max-age=31536000' } : {}),
  }
}
