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
  inside(): Promise<void>
}

const at = (offset: number, epoch = 1): HashPlace => ({ epoch, offset })

function openMember(offset = 0): Member {
  const member: Member = {
    applied: at(offset),
    end: async () => member.applied,
    follows: true,
    lease: new Lease({
      connection: () => world.connection,
      applied: () => member.applied,
      end: () => member.end(),
      follows: () => member.follows,
      changed: () => {},
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
