import { count, setting } from './setting.ts'
import { address, oneOf, rate, text } from './setting-kinds.ts'

const bitmapDefaults = { key: 'username_bloom_filter', bits: 10_000_000, hashes: 7 } as const

/** Which names are free, and who keeps them so. */
export const names = {
  namesProfile: setting<'username' | 'exact'>({
    name: 'NAMES_PROFILE',
    chapter: 'Names',
    kind: oneOf('username', 'exact'),
    default: 'username',
    help: 'How names are compared: `username` as RFC 8265 says (case, width and compositions do not tell names apart), `exact` as they are. It stays as it is once there are names.',
  }),
  namesExpected: setting({
    name: 'NAMES_EXPECTED',
    chapter: 'Names',
    kind: count(1_000_000_000, 1_000),
    default: 1_000_000,
    unit: 'names',
    help: 'Names that the filter is made for at first, at 12 bits each. At seven tenths of them a larger one is made.',
  }),
  namesRules: setting({
    name: 'NAMES_RULES',
    chapter: 'Names',
    kind: text('the path of a file'),
    defaultText: 'the rules that come with Pulse',
    help: 'JSON with names to keep back or to allow, words that no name may have, and lengths; it is read again when it changes.',
  }),
  namesRateAddress: setting({
    name: 'NAMES_RATE_ADDRESS',
    chapter: 'Names',
    kind: rate,
    default: { count: 240, windowMs: 60_000 },
    help: 'Names that one address may ask for without a credential; it counts against RATE_LIMIT_ADDRESS as well.',
  }),
  namesRateNetwork: setting({
    name: 'NAMES_RATE_NETWORK',
    chapter: 'Names',
    kind: rate,
    default: { count: 2_400, windowMs: 60_000 },
    help: 'The same for all addresses of one network (24 bits of IPv4, 48 of IPv6) together.',
  }),
  namesRateAll: setting({
    name: 'NAMES_RATE_ALL',
    chapter: 'Names',
    kind: rate,
    default: null,
    help: 'The same for everybody together.',
  }),
  redisUrl: setting({
    name: 'REDIS_URL',
    chapter: 'Names',
    secret: true,
    kind: address('redis:', 'rediss:'),
    defaultText: 'no Redis',
    help: 'Redis with a bitmap of names that other programs share: it is asked and filled besides the filter of this process, which goes on without it.',
  }),
  bloomFilterKey: setting({
    name: 'BLOOM_FILTER_KEY',
    chapter: 'Names',
    kind: text('a key without control characters', (value) => !/\p{Cc}/u.test(value)),
    default: bitmapDefaults.key,
    help: 'Key of that bitmap.',
  }),
  bloomFilterSize: setting({
    name: 'BLOOM_FILTER_SIZE',
    chapter: 'Names',
    kind: count(2 ** 32, 65_536),
    default: bitmapDefaults.bits,
    unit: 'bits',
    help: 'Its length. 10 million bits say "maybe" to 1 % of other names when they hold a million, and to all of them soon after.',
  }),
  bloomFilterHashCount: setting({
    name: 'BLOOM_FILTER_HASH_COUNT',
    chapter: 'Names',
    kind: count(64, 1),
    default: bitmapDefaults.hashes,
    unit: 'bits',
    help: 'Bits of it that each name sets.',
  }),
  usersDataPath: setting({
    name: 'USERS_DATA_PATH',
    chapter: 'Names',
    kind: text('the path of a file'),
    default: 'data/users.json',
    help: 'JSON array of objects with `username`, whose names are taken over at each start; nothing happens where there is no such file.',
  }),
} as const
