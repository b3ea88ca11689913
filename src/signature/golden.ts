import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { SlipwayError } from '../core/errors.ts'
import { pictureRequest, requestOf } from './request.ts'
import { show } from './issues.ts'
import type { GoldenExample } from '../contract/model-package.ts'
import type { Answer } from './answer.ts'
import type { PeopleRequest } from './request.ts'
import type { Signature } from './signature.ts'

const DEFAULT_TOLERANCE = 1e-4

/**
 * Runs the golden examples of a package.
 * @throws SLW_GOLDEN_FAILED naming the example, the place, and both values
 */
export async function checkGolden(
  golden: readonly GoldenExample[],
  signature: Signature,
  folder: string,
  run: (request: PeopleRequest) => Promise<readonly Answer[]>,
): Promise<void> {
  for (const [index, example] of golden.entries()) {
    const name = example.name ?? example.file ?? `golden[${index}]`
    const request =
      example.file === undefined
        ? requestOf(example.input, signature)
        : pictureRequest(await readFile(join(folder, example.file)), example.file)
    const answers = await run(request)
    const difference = compare(request.many ? answers : answers[0], example.expect, example.tolerance ?? DEFAULT_TOLERANCE, '')
    if (difference !== undefined) throw new SlipwayError('SLW_GOLDEN_FAILED', `golden example "${name}": ${difference}`)
  }
}

/** The first place at which `actual` lacks or contradicts the expectation, which may be a part of the answer. */
function compare(actual: unknown, expected: unknown, tolerance: number, path: string): string | undefined {
  const place = path === '' ? 'the answer' : path
  if (typeof expected === 'number' && (typeof actual === 'number' || typeof actual === 'bigint')) {
    return Math.abs(Number(actual) - expected) <= tolerance
      ? undefined
      : `${place} is ${actual}, expected ${expected} (tolerance ${tolerance})`
  }
  if (Array.isArray(expected)) {
    if (!Array.isArray(actual) || actual.length < expected.length) return `${place} is ${show(actual)}, expected ${show(expected)}`
    for (const [index, element] of expected.entries()) {
      const difference = compare(actual[index], element, tolerance, `${path}[${index}]`)
      if (difference !== undefined) return difference
    }
    return undefined
  }
  if (expected !== null && typeof expected === 'object') {
    for (const [key, member] of Object.entries(expected)) {
      const difference = compare(
        (actual as Record<string, unknown> | undefined)?.[key],
        member,
        tolerance,
        path === '' ? key : `${path}.${key}`,
      )
      if (difference !== undefined) return difference
    }
    return undefined
  }
  return actual === expected ? undefined : `${place} is ${show(actual)}, expected ${show(expected)}`
}
