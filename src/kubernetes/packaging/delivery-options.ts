/** By what those who roll out for others judge a new version. */
export interface DeliveryOptions {
  /** Address of the control plane, as pods reach it, and the rollout there whose verdict counts. */
  readonly controlPlane?: string
  /** Id of that rollout. */
  readonly rollout?: string
  /** Address of a Prometheus that scrapes the pods. */
  readonly prometheus?: string
  /** Secret whose key `address` has the webhook of a Slack channel that Flagger tells. */
  readonly alertSecret?: string
}
