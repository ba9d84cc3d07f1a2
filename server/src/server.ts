/**
 * What a team's `pulse.config.ts` needs. The server itself is a program (`main.ts`), not a library.
 */
export type { Event } from '@pulse/protocol/event'
export {
  defineConfig,
  type EventTypeConfig,
  type Handler,
  type HandlerContext,
  type HandlerResult,
  PermanentError,
  type PulseConfig,
} from './config/define-config.ts'
