import type { Handler } from '../../config/define-config.ts'

/** Custom events, and every type that has no handler, are kept as they are. */
export const custom: Handler = () => undefined
