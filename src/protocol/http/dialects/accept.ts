import { SlipwayError } from '../../../core/errors.ts'

/**
 * The type of an answer, of those that a dialect writes, as a client accepts it (RFC 9110, 12.5.1): of two that it likes as much, the one
 * that it names first; where any will do, the first that is written.
 * @throws SLW_NOT_ACCEPTABLE
 */
export function acceptedOf<Type extends string>(accept: string | undefined, written: readonly [Type, ...Type[]]): Type {
  if (accept === undefined || accept.trim() === '') return written[0]
  let best: { readonly type: Type; readonly weight: number } | undefined
  for (const range of accept.split(',')) {
    const [name = '', ...parameters] = range.split(';').map((part) => part.trim().toLowerCase())
    const quality = parameters.find((parameter) => parameter.startsWith('q='))
    const weight = quality === undefined ? 1 : Number(quality.slice('q='.length))
    const type = written.find((one) => name === one || name === '*/*' || (name.endsWith('/*') && one.startsWith(name.slice(0, -1))))
    if (type !== undefined && weight > (best?.weight ?? 0)) best = { type, weight }
  }
  if (best !== undefined) return best.type
  throw new SlipwayError('SLW_NOT_ACCEPTABLE', `Accept "${accept.slice(0, 200)}" is none of ${written.join(', ')}`)
}
