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
  {
    reason: 'A name that is taken is said to be so (RESOURCE_ALREADY_EXISTS), also when something is renamed; the reference shows its SQL.',
    covers: ({ reference, subject }) => /IntegrityError/.test(text(reference)) && /"RESOURCE_ALREADY_EXISTS"/.test(text(subject)),
  },
  {
    reason: 'What cannot be kept exactly is refused, not rounded: steps beyond 2^53.',
    covers: ({ step, reference, subject }) =>
      step === 'metric_limits' && (/4611686018427388000/.test(text(subject)) || /"step","tied"/.test(text(reference))),
  },
  {
    reason: 'Aliases stay with their versions when a model is renamed.',
    covers: ({ step, reference, subject }) =>
      step === 'rename_registered_model' && text(reference) === '[]' && text(subject).startsWith('["'),
  },
  {
    reason: 'A page of less than one object is refused.',
    covers: ({ subject }) => /max_results/.test(text(subject)) && /"refused"/.test(text(subject)),
  },
  {
    reason: 'Models can be ordered by their creation, too.',
    covers: ({ step, subject }) => /models by creation_timestamp/.test(step) && /"let through"/.test(text(subject)),
  },
  {
    reason: 'A version of a run can be made of a source alone: run_id need not say it again.',
    covers: ({ step, reference }) => step === 'missing_models' && /run_id request parameter must identify/.test(text(reference)),
  },
  {
    reason: 'Aliases are told wherever a version is.',
    covers: ({ step, reference, subject }) => step.endsWith('_in_pages') && text(reference) === '[]' && text(subject).startsWith('["'),
  },
  {
    reason: 'A registration is noted once in the tag of its logged model: the reference and its client both write it.',
    covers: ({ step, subject }) => step === 'logged_model_of_log_model' && text(subject).includes('scenario'),
  },
  {
    reason: 'A data set without a digest is every one of its name; the reference looks for one whose digest is null.',
    covers: ({ step, reference, subject }) => step === 'search_logged_models' && text(reference) === '[]' && text(subject) === '["logged"]',
  },
  {
    reason: 'Logged models are found by patterns of their status, too.',
    covers: ({ step, subject }) => step.startsWith('logged models: status') && !/"refused"/.test(text(subject)),
  },
  {
    reason: 'More can be asked of logged models: the time of the last change by its other name, tags whose names have spaces.',
    covers: ({ step, subject }) => /^logged models: (last_updated_time|tags\."a b")/.test(step) && !/"refused"/.test(text(subject)),
  },
  {
    reason: 'A wrong attribute is told with those that there are.',
    covers: ({ step, subject }) => step === "versions: version = '1'" && /Valid keys are/.test(text(subject)),
  },
  {
    reason: 'Values of a wrong type are refused, not bent: 1.5 as a whole number, true as a number, a status that there is not.',
    covers: ({ step, subject }) => step === 'wrong_types' && /"refused"/.test(text(subject)),
  },
  {
    reason: 'What was let through with a wrong type shows later.',
    covers: ({ step, reference }) => step === 'unknown_fields' && text(reference) === '[{"key":"a","step":0,"timestamp":1,"value":1}]',
  },
  {
    reason: 'A metric whose value is NaN without quotes is NaN, at its time; the reference keeps 0 at time 0.',
    covers: ({ step, reference, subject }) =>
      step === 'special_numbers' && text(reference) === '0' && (text(subject) === '"NaN"' || text(subject) === '1700000000000'),
  },
  {
    reason: 'A path that leads out of its folder is refused, however often it is encoded.',
    covers: ({ step, reference, subject }) => step === 'traversal_by_put' && text(reference) === 'false' && text(subject) === 'true',
  },
  {
    reason: 'A file may have "#" in its name.',
    covers: ({ step, subject }) => step === 'names_of_files' && (text(subject) === '200' || /"body":"x"|a#b/.test(text(subject))),
  },
  {
    reason: 'A path with a backslash or a zero byte is refused when it is listed, too.',
    covers: ({ step, subject }) => step === 'traversal_by_list' && /Invalid path/.test(text(subject)) && /\\\\|u0000/.test(text(subject)),
  },
  {
    reason: 'A dataset has a name, a digest and a source.',
    covers: ({ step, reference, subject }) =>
      /log-inputs|dataset_limits|unknown_fields/.test(step) && (/datasets\[0\]/.test(text(subject)) || /"digest":""/.test(text(reference))),
  },
  {
    reason: 'A comparison without a key is refused.',
    covers: ({ step, subject }) => /(params|tags|metrics)\. /.test(step) && /"refused"/.test(text(subject)),
  },
]

function text(value: unknown): string {
  return JSON.stringify(value ?? null)
}

function areUris(...values: readonly unknown[]): boolean {
  return values.every((value) => JSON.stringify(value).includes('mlflow-artifacts:/'))
}

/** The codes are those that go with 500. */
function failedWith500({ reference }: Difference): boolean {
  return /"status":500|too many 500 error responses|"code":"(INTERNAL_ERROR|INVALID_STATE)"/.test(JSON.stringify(reference ?? null))
}

function refusedAsWrong({ subject }: Difference): boolean {
  const text = JSON.stringify(subject ?? null)
  return text.includes('"refused"') && /"code":"(INVALID_PARAMETER_VALUE|BAD_REQUEST|RESOURCE_DOES_NOT_EXIST|RESOURCE_CONFLICT)"/.test(text)
}
