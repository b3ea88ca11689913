/** Routes of other servers that no dialect has: their clients are told the one of this server that does the same. */
interface ForeignRoute {
  readonly path: RegExp
  readonly of: string
  /** Our route; `$1` is the model. */
  readonly ours: string
}

const FOREIGN: readonly ForeignRoute[] = [
  { path: /^\/invocations$/, of: 'MLflow and SageMaker', ours: 'POST /predict' },
  { path: /^\/v2\/models\/([^/]+)\/generate(?:_stream)?$/, of: "Triton's generate extension", ours: 'POST /v2/models/$1/infer' },
]

/** Names our route for one of another server. @returns undefined for any other path */
export function ourRouteFor(path: string): string | undefined {
  for (const { path: pattern, of, ours } of FOREIGN) {
    const match = pattern.exec(path)
    if (match !== null) return `that route is of ${of}; here it is ${ours.replace('$1', () => match[1] ?? '')}`
  }
  return undefined
}
