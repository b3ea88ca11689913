/** A condition of an endpoint, in the shape of conditions in Kubernetes. */
export interface Condition {
  readonly type: 'Ready' | 'Following'
  readonly status: 'True' | 'False' | 'Unknown'
  /** One word, for programs. */
  readonly reason: string
  readonly message: string
}

/** Makes conditions of one type. */
export function conditions(type: Condition['type']): (status: Condition['status'], reason: string, message: string) => Condition {
  return (status, reason, message) => ({ type, status, reason, message })
}
