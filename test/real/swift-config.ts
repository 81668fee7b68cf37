/** Ports of the servers that make up Swift. */
export interface SwiftPorts {
  readonly proxy: number
  readonly object: number
  readonly container: number
  readonly account: number
  readonly memcached: number
}

export interface SwiftSettings {
  readonly ports: SwiftPorts
  /** Holds everything: settings, data, logs. */
  readonly directory: string
  /** System user under which the servers run. */
  readonly user: string
  /** Signing region. */
  readonly region: string
  /** `account:user`. */
  readonly accessKeyId: string
  readonly secretAccessKey: string
}

/** Swift's settings, by file name: one node that keeps one copy of everything. */
export function swiftConfig ({ ports, directory, user, region, accessKeyId, secretAccessKey }: SwiftSettings): Record<string, string> {
  const server = (port: number): string => `[DEFAULT]
bind_ip = 127.0.0.1
bind_port = ${port}
bind_timeout = 1
user = ${user}
swift_dir = ${directory}
devices = ${directory}/disks
mount_check = false
workers = 0
disable_fallocate = true
fallocate_reserve = 0
log_level = WARNING
`
  const store = (name: 'object' | 'container' | 'account'): string => `${server(ports[name])}
[pipeline:main]
pipeline = ${name}-server

[app:${name}-server]
use = egg:swift#${name}
# So that listings have every object at once, on a slow machine, too.
container_update_timeout = 60
`
  return {
    'object-server.conf': store('object'),
    'container-server.conf': store('container'),
    'account-server.conf': store('account'),
    // By default a value of metadata has 256 bytes at most, and receipts are longer.
    'swift.conf': `[swift-hash]
swift_hash_path_suffix = contract

[swift-constraints]
max_meta_value_length = 2048
max_meta_overall_size = 2048

[storage-policy:0]
name = only
default = yes
`,
    'proxy-server.conf': `${server(ports.proxy)}
[pipeline:main]
pipeline = catch_errors gatekeeper cache listing_formats s3api tempauth slo versioned_writes symlink proxy-server

[app:proxy-server]
use = egg:swift#proxy
account_autocreate = true
# By default half a second, and ten such failures in a row take a server out for a minute.
conn_timeout = 30
node_timeout = 60
error_suppression_interval = 0

[filter:cache]
use = egg:swift#memcache
memcache_servers = 127.0.0.1:${ports.memcached}

[filter:s3api]
use = egg:swift#s3api
location = ${region}
max_upload_part_num = 10000

[filter:tempauth]
use = egg:swift#tempauth
user_${accessKeyId.replace(':', '_')} = ${secretAccessKey} .admin

[filter:versioned_writes]
use = egg:swift#versioned_writes
allow_object_versioning = true

${['catch_errors', 'gatekeeper', 'listing_formats', 'slo', 'symlink'].map(name => `[filter:${name}]\nuse = egg:swift#${name}\n`).join('\n')}`,
  }
}
