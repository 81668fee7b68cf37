import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Application, Comment, Converter, IntrinsicType, LiteralType, ReferenceType, ReflectionKind, UnionType, UnknownType } from 'typedoc'
import { MarkdownTheme, MarkdownThemeContext } from 'typedoc-plugin-markdown'
import { AudioTagsSchema } from '../services/audio/tags.ts'
import { B2_ERROR_CODES } from '../services/b2/error-codes.ts'
import { FallbackReasonSchema, SplitBytesSchema, StoredInB2Schema, StoredLocallySchema, StoredSplitSchema, TrackSchema } from '../services/receipt.ts'
import { UPLOAD_ERROR_CODES } from '../services/upload-errors.ts'

// Writes docs/plugin-api.md from the docstrings of what index.ts exports; with --check it only says whether that is up to date.
const root = fileURLToPath(new URL('../', import.meta.url))
const PAGE = join(root, 'docs/plugin-api.md')
const INTRO = `# Plugin API

<!-- Written by \`npm run docs\` from the docstrings of the sources: change those. -->

Everything that \`fastify-b2-uploads\` exports. [plugin.md](plugin.md) says how to use it, and what your app must take care of; the
routes are in [http-api.md](http-api.md).
`

const SCHEMAS = { AudioTags: AudioTagsSchema, FallbackReason: FallbackReasonSchema, SplitBytes: SplitBytesSchema, StoredInB2: StoredInB2Schema, StoredLocally: StoredLocallySchema, StoredSplit: StoredSplitSchema, Track: TrackSchema }
const CODES = { B2ErrorCode: B2_ERROR_CODES, UploadErrorCode: UPLOAD_ERROR_CODES }

/** Of a schema that another one refers to. */
const nameIn = ref => /^B2Uploads(\w+)#$/.exec(ref)?.[1]

/** Leaves out what only repeats the signature. */
class Context extends MarkdownThemeContext {
  partials = { ...this.partials, signatureReturns: () => '', inheritance: () => '', hierarchy: () => '' }
}

class Theme extends MarkdownTheme {
  getRenderContext (page) { return new Context(this, page, this.application.options) }
}

const app = await Application.bootstrapWithPlugins({
  entryPoints: [join(root, 'index.ts')],
  tsconfig: join(root, 'tsconfig.build.json'),
  skipErrorChecking: true, // `npm run typecheck` does that
  plugin: ['typedoc-plugin-markdown', application => { application.renderer.defineTheme('own', Theme) }],
  theme: 'own',
  router: 'module',
  entryFileName: 'plugin-api',
  logLevel: 'Warn',
  treatWarningsAsErrors: true,
  validation: { notExported: true, invalidLink: true, notDocumented: true, rewrittenLink: true, unusedMergeModuleWith: true },
  readme: 'none',
  disableSources: true,
  disableGit: true,
  hideGenerator: true,
  hideBreadcrumbs: true,
  hidePageHeader: true,
  hidePageTitle: true,
  excludeExternals: true,
  excludeInternal: true,
  sort: [],
  groupOrder: ['Variables', 'Functions', 'Interfaces', 'Type Aliases', 'Classes'],
  useCodeBlocks: true,
  expandParameters: true,
  parametersFormat: 'none',
  interfacePropertiesFormat: 'table',
  classPropertiesFormat: 'table',
  typeDeclarationFormat: 'table',
  tableColumnSettings: { hideInherited: true, hideOverrides: true, hideSources: true, hideModifiers: true, hideDefaults: true, leftAlignHeaders: true },
})

app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
  const named = name => project.getChildByName(name)
  const referenceTo = name => ReferenceType.createResolvedReference(name, named(name), project)
  const literals = values => new UnionType(values.map(value => new LiteralType(value)))
  const retype = (reflection, type) => {
    project.removeTypeReflections(reflection.type)
    reflection.type = type
  }

  for (const [name, codes] of Object.entries(CODES)) retype(named(name), literals(codes))
  for (const name of ['error_code', 'code']) retype(named('UploadError').getChildByName(name), referenceTo('UploadErrorCode'))
  retype(named(['UploadsStatus', 'b2']).type.declaration.getChildByName('last_error'), new UnionType([referenceTo('FallbackReason'), new IntrinsicType('null')]))
  // All that Fastify's generic types may come to is longer than this page.
  retype(named('B2UploadsOptions').getChildByName('preHandler'), new UnknownType("RouteShorthandOptions['preHandler']"))
  for (const [name, { properties }] of Object.entries(SCHEMAS)) {
    for (const property of named(name).children) describe(property, properties[property.name])
  }
  for (const { children = [] } of project.getReflectionsByKind(ReflectionKind.Class)) {
    for (const property of children) if (property.name === 'name') project.removeReflection(property)
  }
  for (const reference of project.getReflectionsByKind(ReflectionKind.Reference)) project.removeReflection(reference)

  /** Schemas describe their fields where the compiler does not see it, and refer to each other by their ids. */
  function describe (property, schema) {
    const alternatives = schema.anyOf ?? [schema]
    const [{ $ref, description }] = alternatives
    const text = schema.description ?? description ?? SCHEMAS[nameIn($ref)]?.description
    if (text !== undefined) property.comment = new Comment([{ kind: 'text', text: text.endsWith('.') ? text : `${text}.` }])
    if (property.name === 'error_code') retype(property, referenceTo('B2ErrorCode'))
    if ($ref === undefined) return
    const reference = referenceTo(nameIn($ref))
    retype(property, alternatives.length === 1 ? reference : new UnionType([reference, new IntrinsicType('null')]))
  }
})

// What is said of parameters, as a list, where anything is: their names and types are in the signature.
app.converter.on(Converter.EVENT_RESOLVE_END, ({ project }) => {
  for (const { comment, parameters = [] } of project.getReflectionsByKind(ReflectionKind.CallSignature)) {
    const described = parameters.filter(parameter => parameter.comment !== undefined)
    if (described.length === 0 || comment === undefined) continue
    const lines = described.map(parameter => `- \`${parameter.name}\`: ${Comment.combineDisplayParts(parameter.comment.summary).trim()}`)
    comment.summary.push({ kind: 'text', text: `\n\n${lines.join('\n')}` })
  }
})

const dir = await mkdtemp(join(tmpdir(), 'fastify-b2-uploads-docs-'))
try {
  const project = await app.convert()
  app.validate(project)
  await app.outputs.writeOutput({ name: 'markdown', path: dir }, project)
  if (app.logger.hasErrors() || app.logger.hasWarnings()) throw new Error('docs/plugin-api.md was not written: mend the docstrings that are named above')
  const page = await readFile(join(dir, 'plugin-api.md'), 'utf8')
  // Rules between sections, an anchor for each property, and spaces at the ends of lines.
  const text = `${INTRO}\n${page.replace(/\n\*{3}\n|<a id="[^"]*"><\/a> | +$/gm, '').trim()}\n`
  if (!process.argv.includes('--check')) await writeFile(PAGE, text)
  else if (await readFile(PAGE, 'utf8').catch(() => '') !== text) throw new Error('docs/plugin-api.md is out of date: npm run docs')
} catch (error) {
  console.error(error.message)
  process.exitCode = 1
} finally {
  await rm(dir, { recursive: true, force: true })
}
