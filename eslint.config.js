import neostandard, { plugins } from 'neostandard'

export default [
  ...neostandard({ ts: true, ignores: neostandard.resolveIgnoresFromGitignore() }),
  // The names that the outside sees are snake_case, and so are the fields that carry them.
  { rules: { camelcase: 'off' } },
  {
    files: ['**/*.ts'],
    // Those that tsconfig.json leaves out.
    ignores: ['.ci/**', 'demo/page/**', 'examples/generated-client/**', 'test/fixtures/whole-client.ts'],
    languageOptions: { parserOptions: { project: './tsconfig.json', tsconfigRootDir: import.meta.dirname } },
    plugins: { '@typescript-eslint': plugins['typescript-eslint'].plugin },
    rules: {
      // A test that was declared is tap's; `void` says that nobody waits for what never rejects.
      '@typescript-eslint/no-floating-promises': ['error', { allowForKnownSafePromises: [{ from: 'package', package: '@tapjs/core', name: 'PromiseWithSubtest' }] }],
      'no-void': ['error', { allowAsStatement: true }],
      '@typescript-eslint/no-misused-promises': 'error',
      '@typescript-eslint/consistent-type-imports': ['error', { fixStyle: 'separate-type-imports' }],
    },
  },
]
