/** Where Slipway answers the clients of MLflow otherwise than MLflow's own server, on purpose. */
import type { Difference, IntendedDifference } from './compare.ts'

export const INTENDED: readonly IntendedDifference[] = [
  {
    reason:
      'The numbers of versions are never used again, also when a model is deleted and another is made of its name: "churn 3" is one thing for ever.',
    covers: ({ step }) => step === 'version_numbers_after_a_model_was_deleted',
  },
  {
    reason: 'The files of a version are a read-only copy of those of the run, so that they lie elsewhere.',
    covers: ({ step, reference, subject }) => step === 'download_uris' && areUris(reference, subject),
  },
  {
    reason: 'An experiment keeps its files where the server does: another root, on the disk of the server or elsewhere, is refused.',
    covers: ({ step, subject }) => step === 'experiment_with_artifact_location' && JSON.stringify(subject).includes('"refused"'),
  },
  {
    reason:
      'What is wrong with a request is said with a status of 4xx, also where the reference fails with 500: clients repeat what fails so.',
    covers: (difference) => failedWith500(difference) && refusedAsWrong(difference),
  },
]

function areUris(...values: readonly unknown[]): boolean {
  return values.every((value) => JSON.stringify(value).includes('mlflow-artifacts:/'))
}

function failedWith500({ reference }: Difference): boolean {
  return /"status":500|too many 500 error responses/.test(JSON.stringify(reference ?? null))
}

function refusedAsWrong({ subject }: Difference): boolean {
  const text = JSON.stringify(subject ?? null)
  return text.includes('"refused"') && /"code":"(INVALID_PARAMETER_VALUE|BAD_REQUEST|RESOURCE_DOES_NOT_EXIST)"/.test(text)
}
