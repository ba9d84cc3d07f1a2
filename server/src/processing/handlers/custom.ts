import type { Handler } from '@pulse/server'

/** Custom events, and every type that has no handler, are kept as they are. */
export const custom: Handler = () => undefined
