#!/openhands/tools/bin/bash
# What a composed image has to be able to do, whatever its base. Prints a line for each check:
# `ok NAME`, or `FAIL NAME: the last words`. Needs nothing but the prefix and a directory to write.
# The argument is the uid that the image's config names as its user, if any.
set -u
here=${BASH_SOURCE[0]%/*}
. "$here/frame.sh"
for subject in tools python programs acp v0; do
  . "$here/$subject.sh"
done

check bash bash_runs
check tmux tmux_shows_unicode
check git git_works
check git-https git_has_https
check curl curl_reads
check maps nothing_foreign_mapped
# Whoever else it is run as has no name.
if [ "$(id -u)" = "${1:-}" ] || [ "$(id -u)" = 0 ]; then
  check whoami user_has_a_name
  check ssh ssh_knows_its_user
  can_become_root && check sudo sudo_makes_root
fi
[ -x /openhands/tools/bin/jq ] && check extras extras_work
[ -x /openhands/tools/bin/gcc ] && check compiler compiler_compiles
if [ -x /openhands/bin/oh-python ]; then
  check python python_works
  check spawn python_spawns
  [ -x /openhands/tools/bin/uv ] && check uv uv_installs
  bundle_of_base_has_a_company && check ca company_is_trusted
fi
if [ -x /openhands/bin/oh-agent-server ]; then
  check wheels wheels_load
  check cuts cuts_hurt_nothing
  check locale characters_are_utf8
  check terminal terminal_works
fi
# It writes to /tmp by that name, and says so with its last words.
[ -x /openhands/poetry/openhands-ai/bin/python ] && [ -w /tmp ] && check v0 server_of_v0
[ -x /openhands/bin/oh-chromium ] && check chromium chromium_draws
# Its server has files in /tmp, by that name.
[ -x /openhands/bin/oh-vnc ] && [ -x /openhands/bin/oh-python ] && [ -w /tmp ] && check vnc vnc_shows
[ -x /openhands/bin/oh-playwright ] && check playwright playwright_clicks
[ -x /openhands/bin/oh-jupyter ] && check jupyter jupyter_computes
[ -x /openhands/bin/oh-vscode ] && check vscode vscode_serves
if [ -x /openhands/acp-node/bin/node ]; then
  check npm npm_is_at_hand
  for program in claude-agent-acp codex-acp gemini; do
    check "acp-${program%-*}" acp_holds_a_conversation "$program"
  done
fi
[ -s picture ] && printf 'note picture %s\n' "$(cat picture)"
[ -s seconds-v0 ] && printf 'note seconds-v0 %s\n' "$(cat seconds-v0)"
cd /
/openhands/tools/bin/rm -rf "$work"
