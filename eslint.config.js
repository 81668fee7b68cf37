import neostandard from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: neostandard.resolveIgnoresFromGitignore() }),
  // The names that the outside sees are snake_case, and so are the fields that carry them.
  { rules: { camelcase: 'off' } },
]
