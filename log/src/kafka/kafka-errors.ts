import { findErrorBy, type GenericError } from '@platformatic/kafka'
import { LogError } from '../log.ts'

/**
 * Names of Kafka's error codes that say: what you know of the cluster is old. Looking again and sending again helps,
 * and what was refused with one of them was not stored.
 */
const staleNames = [
  'LEADER_NOT_AVAILABLE',
  'NOT_LEADER_OR_FOLLOWER',
  'BROKER_NOT_AVAILABLE',
  'REPLICA_NOT_AVAILABLE',
  'FENCED_LEADER_EPOCH',
  'UNKNOWN_LEADER_EPOCH',
  'NOT_CONTROLLER',
  'UNKNOWN_TOPIC_OR_PARTITION',
  'UNKNOWN_TOPIC_ID',
  'INCONSISTENT_TOPIC_ID',
  'NOT_ENOUGH_REPLICAS',
  'THROTTLING_QUOTA_EXCEEDED',
]

/** What a broker refuses for good: sending the same again would be refused again. */
const refusedNames = [
  'MESSAGE_TOO_LARGE',
  'RECORD_LIST_TOO_LARGE',
  'INVALID_TIMESTAMP',
  'INVALID_RECORD',
  'INVALID_REQUIRED_ACKS',
  'UNSUPPORTED_FOR_MESSAGE_FORMAT',
  'UNSUPPORTED_COMPRESSION_TYPE',
  'TOPIC_AUTHORIZATION_FAILED',
  'CLUSTER_AUTHORIZATION_FAILED',
  'POLICY_VIOLATION',
  'INVALID_CONFIG',
  'INVALID_PARTITIONS',
  'INVALID_REPLICATION_FACTOR',
]

/** True if the error, or one inside it, is Kafka's error of one of these names. */
export function isKafka(error: unknown, ...names: readonly string[]): boolean {
  return error instanceof Error && names.some((name) => findErrorBy(asGeneric(error), 'apiId', name) !== null)
}

export const isStale = (error: unknown): boolean => isKafka(error, ...staleNames)
export const isRefused = (error: unknown): boolean => isKafka(error, ...refusedNames)

/** True if the broker answered, with any error of Kafka's: so it is known what became of the request. */
export function isAnswer(error: unknown): boolean {
  return messages(error).some((inner) => typeof Reflect.get(inner, 'apiId') === 'string')
}

// findErrorBy walks any error; its type says only those of its own library.
const asGeneric = (error: Error): GenericError => error as GenericError

function messages(error: unknown): Error[] {
  if (!(error instanceof Error)) return []
  const inner = error instanceof AggregateError ? error.errors.flatMap(messages) : []
  return [error, ...inner, ...messages(error.cause)]
}

/** Puts an error of the Kafka client into the words of the port. What is not known better is `unavailable`. */
export function asLogError(error: unknown, what: string): LogError {
  if (error instanceof LogError) return error
  const why = [...new Set(messages(error).map(({ message }) => message))].at(-1) ?? String(error)
  const code = isKafka(error, 'UNKNOWN_TOPIC_OR_PARTITION', 'INVALID_TOPIC_EXCEPTION')
    ? 'unknown-topic'
    : 'unavailable'
  return new LogError(code, `${what}: ${why}`, { cause: error })
}
