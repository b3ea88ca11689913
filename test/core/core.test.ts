import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import { systemClock } from '../../src/core/clock.ts'
import { cgroupCpuQuota, usableCores } from '../../src/core/cores.ts'
import { ERROR_WORDS } from '../../src/core/error-words.ts'
import { ERRORS, inputInvalid, isSlipwayError, SlipwayError, toSlipwayError } from '../../src/core/errors.ts'
import { createIds } from '../../src/core/ids.ts'
import { formatBytes, formatMs, parseDurationMs } from '../../src/core/units.ts'
import { slipwayVersion } from '../../src/core/version.ts'
import type { ErrorCode } from '../../src/core/errors.ts'

describe('errors', () => {
  it('every code has a status, a gRPC code, an exit code, a meaning and a cure', () => {
    const grpc: ReadonlySet<string> = new Set([
      'CANCELLED',
      'INVALID_ARGUMENT',
      'DEADLINE_EXCEEDED',
      'NOT_FOUND',
      'ALREADY_EXISTS',
      'OUT_OF_RANGE',
      'ABORTED',
      'DATA_LOSS',
      'RESOURCE_EXHAUSTED',
      'FAILED_PRECONDITION',
      'UNIMPLEMENTED',
      'INTERNAL',
      'UNAVAILABLE',
      'UNAUTHENTICATED',
      'PERMISSION_DENIED',
    ])
    for (const [code, kind] of Object.entries(ERRORS)) {
      assert.match(code, /^SLW_[A-Z]+(_[A-Z]+)*$/)
      assert.ok(kind.http >= 400 && kind.http < 600, code)
      assert.ok(grpc.has(kind.grpc), `${code}: ${kind.grpc}`)
      assert.ok([1, 2, 3, 4, 5, 6, 7, 10, 124, 130].includes(kind.exit), `${code}: ${kind.exit}`)
      for (const sentence of Object.values(ERROR_WORDS[code as ErrorCode])) assert.match(sentence, /^(?:[A-Z/`]|slipway).*\.$/, code)
      // What a client may try again unchanged is no fault of the client.
      if (kind.retry) assert.ok(kind.http >= 500 || [408, 429, 499].includes(kind.http), code)
    }
  })

  it('are recognised across threads, where classes are lost; foreign ones become a fault and stay as its cause', () => {
    const error = new SlipwayError('SLW_QUEUE_FULL', 'full', { retryAfterMs: 5 })
    assert.deepEqual([error.kind.http, error.retryAfterMs, isSlipwayError(error), toSlipwayError(error)], [503, 5, true, error])
    const copied = Object.assign(new Error('full'), { name: 'SlipwayError', code: 'SLW_QUEUE_FULL' })
    assert.equal(isSlipwayError(copied), true)
    for (const other of [
      new Error('x'),
      Object.assign(new Error('x'), { code: 'SLW_QUEUE_FULL' }),
      Object.assign(new Error('x'), { name: 'SlipwayError', code: 'SLW_NONE' }),
      { name: 'SlipwayError', code: 'SLW_QUEUE_FULL' },
      null,
    ])
      assert.equal(isSlipwayError(other), false)
    const foreign = new TypeError('odd')
    const wrapped = toSlipwayError(foreign, 'SLW_RUN_FAILED')
    assert.deepEqual([wrapped.code, wrapped.message, wrapped.cause], ['SLW_RUN_FAILED', 'odd', foreign])
    assert.equal(toSlipwayError('text').message, 'text')
  })

  it('of many issues show the first few and count the rest', () => {
    const error = inputInvalid(Array.from({ length: 7 }, (_, index) => ({ path: index === 0 ? '' : `a[${index}]`, message: 'wrong' })))
    assert.equal(error.message, 'wrong; a[1]: wrong; a[2]: wrong; a[3]: wrong; a[4]: wrong; and 2 more')
    assert.deepEqual([error.code satisfies ErrorCode, error.issues?.length], ['SLW_INPUT_INVALID', 7])
  })
})

describe('ids', () => {
  it('are unique, of one form, and sort by time and order', () => {
    let now = 1_700_000_000_000
    const next = createIds(() => (now += 1))
    const ids = Array.from({ length: 200_000 }, next)
    assert.equal(new Set(ids).size, ids.length)
    assert.ok(ids.every((id) => /^[0-9a-f]{24}$/.test(id)))
    assert.deepEqual(ids.toSorted(), ids)
    assert.equal(ids[0]?.slice(0, 8), Math.floor(1_700_000_000).toString(16))
  })

  it('of two processes differ though they start in one second', () => {
    const [a, b] = [createIds(() => 0), createIds(() => 0)]
    assert.equal(new Set([...Array.from({ length: 1000 }, a), ...Array.from({ length: 1000 }, b)]).size, 2000)
  })
})

describe('units', () => {
  it('durations are read with their unit, and anything else is refused with its name', () => {
    assert.deepEqual(
      ['250ms', '30s', '5m', '1h', '7d', '40', ' 1.5s '].map((text) => parseDurationMs(text, 'x')),
      [250, 30_000, 300_000, 3_600_000, 604_800_000, 40, 1500],
    )
    for (const text of ['', '-1s', '1w', '1 s', 's', '1e3', 'NaN']) {
      assert.throws(
        () => parseDurationMs(text, '--timeout'),
        (error: unknown) =>
          isSlipwayError(error) &&
          error.code === 'SLW_CONFIG_INVALID' &&
          error.message.startsWith(`--timeout: "${text}" is not a duration`),
      )
    }
  })

  it('sizes and times are written for people', () => {
    assert.deepEqual([0, 1023, 1024, 1536, 10 * 2 ** 20, 2 ** 40, 2 ** 50].map(formatBytes), [
      '0 B',
      '1023 B',
      '1.0 KiB',
      '1.5 KiB',
      '10 MiB',
      '1.0 TiB',
      '1024 TiB',
    ])
    assert.deepEqual([0.0123, 1.234, 12.3, 999.4, 1500].map(formatMs), ['12 us', '1.23 ms', '12 ms', '999 ms', '1.5 s'])
  })
})

describe('cores', () => {
  const quota = (files: Readonly<Record<string, string>>): number | undefined => cgroupCpuQuota((path) => files[path])

  it('a quota of the cgroup is read in cores, version 2 before version 1', () => {
    const v1 = { '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '50000', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000' }
    assert.equal(quota({ '/sys/fs/cgroup/cpu.max': '250000 100000' }), 2.5)
    assert.equal(quota({ '/sys/fs/cgroup/cpu.max': '200000' }), 2)
    assert.equal(quota(v1), 0.5)
    assert.equal(quota({ ...v1, '/sys/fs/cgroup/cpu.max': '300000 100000' }), 3)
  })

  it('no quota is none', () => {
    assert.equal(quota({}), undefined)
    assert.equal(quota({ '/sys/fs/cgroup/cpu.max': 'max 100000' }), undefined)
    assert.equal(quota({ '/sys/fs/cgroup/cpu/cpu.cfs_quota_us': '-1', '/sys/fs/cgroup/cpu/cpu.cfs_period_us': '100000' }), undefined)
  })

  it('at least one core is always there', () => {
    const { count, limitedBy } = usableCores()
    assert.ok(Number.isInteger(count) && count >= 1 && limitedBy.length > 0)
  })
})

describe('the clock and the version', () => {
  it('a cancelled timer never calls back', async () => {
    let called = 0
    const cancel = systemClock.after(1, () => called++)
    cancel()
    await new Promise<void>((resolve) => {
      const keep = setTimeout(() => {}, 1000)
      systemClock.after(5, () => (clearTimeout(keep), resolve()))
    })
    assert.equal(called, 0)
  })

  it('the version is the one of the package', () => {
    assert.match(slipwayVersion(), /^\d+\.\d+\.\d+/)
  })
})
