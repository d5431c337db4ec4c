//! nginx as a plain proxy: one worker, kept connections on both sides, nothing written down.

use super::Launch;
use crate::bench::{
    Outcome,
    process::{self, SUBJECT_CORE},
    stage::{Stage, free_address},
};
use std::{fs, net::SocketAddr, path::Path};

pub(super) fn launch(stage: &Stage) -> Outcome<Launch> {
    let addr = free_address()?;
    let folder = stage.file("nginx");
    fs::create_dir_all(&folder)?;
    let file = folder.join("nginx.conf");
    fs::write(&file, configuration(&folder, addr, stage.upstream)?)?;
    let mut command = process::pinned(SUBJECT_CORE, Path::new("nginx"));
    command.arg("-p").arg(&folder).arg("-c").arg(&file).args(["-e", "stderr"]);
    Ok(Launch { command, addr, headers: Vec::new(), beside: Vec::new() })
}

fn configuration(folder: &Path, addr: SocketAddr, upstream: SocketAddr) -> Outcome<String> {
    let folder = folder.to_str().ok_or("the temporary folder's name is not UTF-8")?;
    // Started by root, its worker would become another user, who may not enter the folder.
    let user = if rustix::process::geteuid().is_root() { "user root;" } else { "" };
    Ok(format!(
        "{user}
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 4096; }}
http {{
    access_log off;
    tcp_nodelay on;
    keepalive_requests 1000000000;
    client_max_body_size 64m;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    upstream provider {{
        server {upstream};
        keepalive 1024;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {addr};
        location / {{
            proxy_pass http://provider;
            proxy_http_version 1.1;
            proxy_set_header Connection \"\";
            proxy_buffering off;
            proxy_request_buffering off;
        }}
    }}
}}
"
    ))
}
