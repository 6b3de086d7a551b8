# What the base's own programs are and say. Runs with the base's shell, without and with the layers:
# both have to print the same. /trap/programs lists what the base has.
while read -r file; do
  command -v "${file##*/}" || echo "no $file"
done </trap/programs
for program in sh bash ls cat sed grep tar gzip dpkg apt perl python3 hello; do
  while read -r file; do
    if [ "${file##*/}" = "$program" ]; then
      echo "$file: $("$file" --version 2>&1 </dev/null | head -n 1)"
    fi
  done </trap/programs
done
echo "hello" | sed s/hello/world/ | cat
# Nothing of the layers is mapped into what belongs to the base.
grep -c /openhands /proc/self/maps
