# Tools: what works without Python and without a server.

bash_runs() { [ "$(oh-bash -c 'declare -A a=([x]=y); echo ${a[x]}')" = y ]; }

tmux_shows_unicode() {
  local tmux=(oh-tmux -S "$work/tmux.socket")
  # Only what stands there already is typed, so that what is looked for was printed.
  "${tmux[@]}" new-session -d -s one -x 80 -y 10 "printf '%s%s\n' '⎮' 'ü'; exec sleep 60" || return 1
  if soon eval '"${tmux[@]}" capture-pane -p -t one | grep -q "⎮ü"'; then
    "${tmux[@]}" kill-server
  else
    "${tmux[@]}" capture-pane -p -t one
    "${tmux[@]}" kill-server
    return 1
  fi
}

git_works() {
  export GIT_CONFIG_GLOBAL=$work/gitconfig
  oh-git init -q -b main one && cd one || return 1
  oh-git config --global user.name me && oh-git config --global user.email me@example.org
  printf '#!/openhands/tools/bin/dash\necho hooked >../hooked\n' >.git/hooks/post-commit
  chmod +x .git/hooks/post-commit
  echo text >file
  oh-git add file && oh-git commit -q -m first || return 1
  [ "$(cat ../hooked)" = hooked ] || { echo 'no hook ran'; return 1; }
  cd .. && oh-git clone -q "file://$work/one" two && [ "$(cat two/file)" = text ]
}

# The user has a line in /etc/passwd; ssh, and with it git, does nothing for who has none.
user_has_a_name() { [ -n "$(/openhands/tools/bin/whoami)" ]; }
ssh_knows_its_user() { /openhands/tools/bin/ssh -G example | grep '^user .'; }

# Only where programs can become root: not where the runtime forbids it, or where there is no other user.
can_become_root() {
  [ -u /usr/bin/sudo ] && grep -q '^NoNewPrivs:.0' /proc/self/status && ! grep -q ' 1$' /proc/self/uid_map
}
sudo_makes_root() { [ "$(/usr/bin/sudo -n /openhands/tools/bin/id -u)" = 0 ]; }

# No network is there, so the helper is to say that nobody answers, and not that it is missing.
git_has_https() {
  local said
  said=$(oh-git ls-remote https://127.0.0.1:1/x 2>&1)
  case $said in
  *'Failed to connect'* | *"Couldn't connect"* | *'Could not connect'* | *'refused'*) ;;
  *) echo "$said"; return 1 ;;
  esac
}

curl_reads() {
  echo hello >hello
  [ "$(/openhands/tools/bin/curl -fsS "file://$work/hello")" = hello ] && /openhands/tools/bin/curl --version | grep -q https
}

cat_of_prefix() { /openhands/tools/bin/cat /proc/self/maps; }

# Nothing of the base is mapped into programs of the prefix.
nothing_foreign_mapped() {
  local maps
  for maps in "$(cat_of_prefix)" "$(/openhands/poetry/oh/bin/python -E -c 'import ssl, sqlite3; print(open("/proc/self/maps").read())' 2>/dev/null)"; do
    if printf '%s\n' "$maps" | grep -E ' /' | grep -v ' /openhands/' | grep -v '/dev/shm\|(deleted)\|/memfd'; then
      return 1
    fi
  done
}

# What an agent reaches for besides.
extras_work() {
  [ "$(echo '{"a": [42]}' | /openhands/tools/bin/jq '.a[0]')" = 42 ] || return 1
  /openhands/tools/bin/gh --version | grep '^gh version' && /openhands/tools/bin/wget --version | grep '^GNU Wget'
}

# What is compiled here runs here, and finds its libraries.
compiler_compiles() {
  mkdir -p compiled && cd compiled || return 1
  printf '%s\n' '#include <math.h>' '#include <stdio.h>' \
    'int main(int count, char **words) { (void)words; printf("%.0f\n", sqrt(count) * 42); }' >one.c
  printf '%s\n' '#include <iostream>' '#include <vector>' \
    'int main() { std::vector<int> all{40, 2}; try { throw all[0] + all[1]; } catch (int sum) { std::cout << sum << "\n"; } }' >two.cc
  printf 'all: one two\none: one.c\n\tgcc -O2 -Wall -Werror -o one one.c -lm\ntwo: two.cc\n\tg++ -Wall -Werror -o two two.cc\n' >Makefile
  PATH=/openhands/tools/bin:$PATH make --silent || return 1
  [ "$(./one)" = 42 ] && [ "$(./two)" = 42 ]
}
