/** Routes of other servers, whose clients are told the one of this server that does the same. */
interface ForeignRoute {
  readonly path: RegExp
  readonly of: string
  /** Our route; `$1` is the model. */
  readonly ours: string
}

const FOREIGN: readonly ForeignRoute[] = [
  {
    path: /^\/v1\/models\/([^/:]+)(?:\/(?:versions|labels)\/[^/:]+)?:(?:predict|classify|regress)$/,
    of: 'TensorFlow Serving and KServe v1',
    ours: 'POST /models/$1/predict, with {"inputs": [...]} instead of {"instances": [...]}',
  },
  { path: /^\/v1\/models\/([^/:]+)(?:\/metadata)?$/, of: 'TensorFlow Serving and KServe v1', ours: 'GET /v2/models/$1' },
  { path: /^\/v1\/models\/?$/, of: 'KServe v1', ours: 'POST /v2/repository/index' },
  { path: /^\/predictions\/([^/]+)/, of: 'TorchServe', ours: 'POST /models/$1/predict' },
  { path: /^\/invocations$/, of: 'MLflow and SageMaker', ours: 'POST /predict' },
  { path: /^\/ping$/, of: 'TorchServe, MLflow and SageMaker', ours: 'GET /ready' },
]

/** Names our route for one of another server. @returns undefined for any other path */
export function ourRouteFor(path: string): string | undefined {
  for (const { path: pattern, of, ours } of FOREIGN) {
    const match = pattern.exec(path)
    if (match !== null) return `that route is of ${of}; here it is ${ours.replace('$1', () => match[1] ?? '')}`
  }
  return undefined
}
