import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openServices, type Services } from '@pulse/dev/services'
import { eventually } from '@pulse/dev/services/eventually'
import { type HashPlace, Lease } from './lease.ts'
import { type NamesWorld, openNamesWorld } from './names-world.ts'

let services: Services
let world: NamesWorld
before(async () => {
  services = await openServices(['postgres'])
  world = await openNamesWorld(services.address('postgres'))
  await world.pool.query(`update name_set set profile = 'exact'`)
})
after(async () => {
  await world[Symbol.asyncDispose]()
  await services[Symbol.asyncDispose]()
})

/** A lease whose filter is what a test says. */
interface Member extends AsyncDisposable {
  readonly lease: Lease
  applied: HashPlace
  end: () => Promise<HashPlace>
  follows: boolean
  /** How often it was told that others have another log. */
  heard: number
  inside(): Promise<void>
}

const at = (offset: number, epoch = 1): HashPlace => ({ epoch, offset })

function openMember(offset = 0): Member {
  const member: Member = {
    applied: at(offset),
    end: async () => member.applied,
    follows: true,
    heard: 0,
    lease: new Lease({
      connection: () => world.connection,
      applied: () => member.applied,
      end: () => member.end(),
      follows: () => member.follows,
      changed: () => {},
      profile: 'exact',
      heard: () => {
        member.heard++
      },
      connected: () => {},
    }),
    inside: () =>
      eventually('a lease', async () => (member.lease.holds() ? true : undefined), 10_000).then(() => {}),
    [Symbol.asyncDispose]: () => member.lease.close(),
  }
  member.lease.start()
  return member
}

test('a claim waits for who holds a lease, also where the claimant itself does not follow', async () => {
  await using holder = openMember(5)
  await using claimant = openMember()
  claimant.follows = false
  await holder.inside()
  let answered = false
  const waiting = claimant.lease.everyoneHas(at(6)).then((has) => {
    answered = true
    return has
  })
  // Two beats of the holder, both with less than the claim needs.
  const beats = async () => {
    const { rows } = await world.pool.query('select max(beat) as beat from name_leases where applied = 5')
    return Number(rows[0]?.beat)
  }
  const first = await beats()
  await eventually('two more beats', async () => ((await beats()) >= first + 2 ? true : undefined), 10_000)
  assert.equal(answered, false)
  holder.applied = at(6)
  assert.equal(await waiting, true)
})

test('an offset of another epoch is no answer to a claim', async () => {
  await using holder = openMember()
  await using claimant = openMember()
  holder.applied = at(1_000, 7)
  await holder.inside()
  const waiting = claimant.lease.everyoneHas(at(3, 8))
  holder.applied = at(3, 8)
  assert.equal(await waiting, true)
  const { rows } = await world.pool.query('select 1 from name_leases where epoch = 7')
  assert.deepEqual(rows, [], 'the holder has said so before the claim was answered')
})

test('a filter that was loaded anew, and has less than others believe, answers nothing until it has it again', async () => {
  await using member = openMember(10)
  await member.inside()
  // Published by a beat at the latest when the next one has passed.
  member.applied = at(5)
  assert.equal(member.lease.holds(), false)
  member.applied = at(10)
  assert.equal(member.lease.holds(), true)
})

test('who could not learn where the topic ends does not answer, and joins with what it holds by then', async () => {
  await using member = openMember(10)
  await member.inside()
  member.end = async () => {
    throw new Error('the log is away')
  }
  // Gone for everybody, and itself: its row is removed as if it had stood still.
  await world.pool.query('delete from name_leases')
  await eventually('no lease', async () => (member.lease.holds() ? undefined : true), 10_000)
  let asked = 0
  member.end = async () => {
    asked++
    return at(20)
  }
  await eventually('the end asked for', async () => (asked > 0 ? true : undefined), 10_000)
  assert.equal(member.lease.holds(), false)
  member.applied = at(19)
  assert.equal(member.lease.holds(), false)
  member.applied = at(20)
  await member.inside()
})

test('who cannot reach the log holds up the claims of nobody', async () => {
  await using cut = openMember()
  cut.end = async () => {
    throw new Error('the log is away')
  }
  await using claimant = openMember()
  await claimant.inside()
  const joins = async () => {
    const { rows } = await world.pool.query('select count(*)::int as count from name_leases')
    return rows[0]?.count
  }
  await eventually('it has left', async () => ((await joins()) === 1 ? true : undefined), 10_000)
  claimant.applied = at(1)
  assert.equal(await claimant.lease.everyoneHas(at(1)), true)
})

test('who joins while the log is made anew joins the new one', async () => {
  await using member = openMember(5)
  let asked = 0
  member.end = async () => {
    asked++
    return at(6)
  }
  await eventually('the end asked for', async () => (asked > 0 ? true : undefined), 10_000)
  // Loaded from the new log before it had come to the end of the old one.
  member.end = async () => at(1, 2)
  member.applied = at(1, 2)
  await member.inside()
})

test('who is told an end that the log had a moment ago does not answer before it has what others have', async () => {
  await using ahead = openMember(10)
  await ahead.inside()
  await using member = openMember(9)
  await eventually('both know each other', async () => (member.lease.others === 1 ? true : undefined), 10_000)
  const published = `select 1 from name_leases where applied = 9`
  await eventually(
    'it has joined',
    async () => ((await world.pool.query(published)).rowCount === 1 ? true : undefined),
    10_000,
  )
  assert.equal(member.lease.holds(), false)
  member.applied = at(10)
  await member.inside()
})

test('who sees others with another epoch is told so', async () => {
  await using one = openMember(5)
  await using two = openMember(5)
  two.applied = at(5, 2)
  two.end = async () => at(5, 2)
  await Promise.all([one.inside(), two.inside()])
  await eventually('both were told', async () => (one.heard > 0 && two.heard > 0 ? true : undefined), 10_000)
})
