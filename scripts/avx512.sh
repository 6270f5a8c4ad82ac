#!/bin/bash
# The AVX-512 code on a machine without it: boots Debian's kernel in Bochs, an emulator of a whole PC, with the release build's kernel
# tests, which hold every rung to plain C bit for bit, and the recipes of scripts/same_bytes_recipes, whose files must be the native
# build's. Usage: scripts/avx512.sh [JOB…], a job being the name of a test program, of a rung, or RUNG-recipe-N; all when none is named.
# One line per test, recipe and rung; the last is `N passed, N failed, N skipped`. Exit 77: skipped, as the line before the last
# says. BUILD: programs built elsewhere. GS_AVX512_MINUTES: a limit (300).
# SPDX-License-Identifier: Apache-2.0
set -u
export LC_ALL=C
cd "$(dirname "$0")/.." || exit 1
build=${BUILD:-build/release}
logs=$PWD/build/avx512 # the kernel is kept here too, so that a second run needs no network
minutes=${GS_AVX512_MINUTES:-300}
model=tests/golden/models/tiny-a
texts=("Some words." "And a few more of them, to have two samples.")
bochs=bochs-bin
share=/usr/share/bochs
cpu=sapphire_rapids
rungs="avx512-bf16 avx512-vnni avx512"
pid=""

skip() {
    printf 'skipped: %s\n0 passed, 0 failed, 1 skipped\n' "$1"
    exit 77
}
if grep -qw avx512bw /proc/cpuinfo; then skip "this processor has AVX-512: the ordinary suite covers it"; fi
[ "$(uname -m)" = x86_64 ] || skip "the programs to be run are x86-64 ones"
mkdir -p "$logs"
bash scripts/setup.sh avx512 >"$logs/setup" 2>&1 || skip "cannot be installed here, see $logs/setup"
[ -n "${BUILD:-}" ] || { cmake --preset release && cmake --build --preset release; } >"$logs/build" 2>&1 || {
    printf 'the build failed, see %s\n0 passed, 1 failed, 0 skipped\n' "$logs/build"
    exit 1
}
work=$(mktemp -d)
finish() {
    [ -z "$pid" ] || kill -9 "$pid" 2>/dev/null # its debugger takes the milder signals
    chmod -R u+w "$work"
    rm -rf "$work"
}
trap finish EXIT
trap 'exit 1' INT TERM

# Bochs has BF16 since 3.0, which came with Debian 13; an older system gets that one, downloaded and unpacked with its C library, not installed.
fetch_bochs() {
    local apt=$work/apt root=$logs/bochs libraries=$logs/bochs/usr/lib/x86_64-linux-gnu options uri
    uri=$(apt-get indextargets --format '$(REPO_URI) $(COMPONENT)' 'Created-By: Packages' "Codename: $(. /etc/os-release && echo "$VERSION_CODENAME")" | sed -n 's/ main$//p' | head -1)
    mkdir -p "$apt/lists" "$apt/cache" "$apt/deb" && rm -rf "$root"
    printf 'Types: deb\nURIs: %s\nSuites: trixie\nComponents: main\nArchitectures: amd64\nSigned-By: /usr/share/keyrings/debian-archive-keyring.gpg\n' "$uri" >"$apt/trixie.sources"
    options=(-o "Dir::Etc::sourcelist=$apt/trixie.sources" -o Dir::Etc::sourceparts=/dev/null -o "Dir::State::lists=$apt/lists" -o "Dir::Cache=$apt/cache")
    apt-get "${options[@]}" update &&
        (cd "$apt/deb" && apt-get "${options[@]}" download {bochs,bochs-term,bochsbios,libc6,libgcc-s1,libstdc++6,libltdl7,libreadline8t64,libtinfo6,libncurses6}/trixie) || return 1
    for package in "$apt"/deb/*.deb; do dpkg-deb -x "$package" "$root" || return 1; done
    cat >"$root/run" <<RUN
#!/bin/sh
export LTDL_LIBRARY_PATH=$libraries/bochs/plugins
exec $libraries/ld-linux-x86-64.so.2 --library-path $libraries:/usr/lib/x86_64-linux-gnu $root/usr/bin/bochs-bin "\$@"
RUN
    chmod +x "$root/run"
    rm -rf "$apt"
}

knows_cpu() { "$1" --help cpu 2>&1 | grep -q "^$cpu"; }

find_bochs() {
    if knows_cpu bochs-bin; then return; fi
    if knows_cpu "$logs/bochs/run" || { fetch_bochs >"$logs/fetch" 2>&1 && knows_cpu "$logs/bochs/run"; }; then
        bochs=$logs/bochs/run
        share=$logs/bochs/usr/share/bochs
    else
        cpu=corei7_icelake_u
        rungs="avx512-vnni avx512"
    fi
}

# Downloaded and unpacked, not installed.
fetch_kernel() {
    local package
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: *\(linux-image-[0-9].*\)/\1/p' | head -1)
    (cd "$work" && apt-get download "$package" && dpkg-deb -x ./*.deb unpacked && cp unpacked/boot/vmlinuz-* "$logs/vmlinuz")
    rm -rf "$work"/*.deb "$work/unpacked"
}

# list DIR: one line per file, without those that say how the result was made.
list() { (cd "$1" && find . -type f | sed 's|^\./||' | grep -v '^glmslim_' | sort | xargs sha256sum); }

# What is run in the guest: name and command in a line.
jobs_of_guest() {
    local name n
    echo "version glmslim version | grep 'instruction sets.* ${rungs%% *};'"
    for name in $wanted; do
        case $name in
        kernels_*) echo "$name $name" ;;
        *-recipe-*) echo "$name recipe ${name%-recipe-*} ${name##*-}" ;;
        *) for ((n = 1; n <= $(wc -l <scripts/same_bytes_recipes); n++)); do echo "$name-recipe-$n recipe $name $n"; done ;;
        esac
    done
}

fill_root() {
    local root=$work/root n=0 line
    mkdir -p "$root"/{bin,dev,proc,tmp,want,model}
    cp "$(command -v busybox)" "$root/bin/busybox"
    for line in "$build/glmslim" "$build"/tests/kernels_*; do
        cp "$line" "$root/bin/"
        ldd "$line" | sed -nE 's/^.*[[:space:]](\/[^ ]+) \(0x.*$/\1/p' >>"$work/libraries"
    done
    strip "$root"/bin/[gk]*
    ln -s glmslim "$root/bin/quant_glm"
    sort -u "$work/libraries" | xargs cp -L --parents -t "$root"
    cp "$model"/* "$root/model/"
    cp scripts/same_bytes_recipes "$root/recipes"
    while read -r line; do
        # shellcheck disable=SC2086 # words of a command line
        "$build/quant_glm" --quiet --model_path $model --save_directory "$work/native" $line --calib_texts "${texts[@]}" >"$logs/native" 2>&1 ||
            return 1
        n=$((n + 1))
        list "$work/native" >"$root/want/$n"
        chmod -R u+w "$work/native"
        rm -rf "$work/native"
    done <scripts/same_bytes_recipes
    jobs_of_guest >"$root/jobs"
    cat >"$root/bin/recipe" <<GUEST
#!/bin/sh
export GLMSLIM_CPU=\$1
glmslim version | grep "in use: \$1\$" || exit
rm -rf /tmp/out
quant_glm --quiet --model_path /model --save_directory /tmp/out \$(sed -n "\$2p" /recipes) --calib_texts $(printf '"%s" ' "${texts[@]}") || exit
cd /tmp/out || exit
find . -type f | sed 's|^\./||' | grep -v '^glmslim_' | sort | xargs sha256sum >/tmp/got
diff /want/\$2 /tmp/got
GUEST
    cat >"$root/init" <<'GUEST'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin LC_ALL=C
mount -t proc proc /proc
mount -t devtmpfs dev /dev
mount -t tmpfs tmp /tmp
exec >/dev/ttyS0 2>&1 </dev/null
stty -onlcr </dev/ttyS0
while read -r name command; do
    if sh -c "$command"; then result=passed; else result="failed ($?)"; fi
    echo "@@ $name: $result"
done </jobs
echo "@@ end"
sleep 1000
GUEST
    chmod +x "$root/init" "$root/bin/recipe"
    mkdir -p "$work/iso"
    (cd "$root" && find . | cpio -o -H newc -R 0:0) >"$work/iso/initrd" 2>/dev/null
}

# What Bochs 2.7 says of itself trips Linux 6.1 in three places, so it is told to overlook: protection keys (515) and compact saving
# (321, 323), whose sizes are wrong and would cost all of AVX; and the short fast moves (580) without the long ones, for which memmove
# was not written. Bochs 3.0 stops when ACPI has it leave system management. ips sets the pace of the guest's clock, to which nothing here looks.
make_image() {
    cp "$logs/vmlinuz" /usr/lib/ISOLINUX/isolinux.bin /usr/lib/syslinux/modules/bios/ldlinux.c32 "$work/iso/"
    cat >"$work/iso/isolinux.cfg" <<'CFG'
default linux
prompt 0
timeout 1
label linux
  kernel vmlinuz
  append initrd=initrd console=ttyS0 loglevel=4 nokaslr mitigations=off acpi=off nosmp nopku clearcpuid=515,321,323,580 tsc=reliable random.trust_cpu=on
CFG
    genisoimage -quiet -o "$work/boot.iso" -b isolinux.bin -c boot.cat -no-emul-boot -boot-load-size 4 -boot-info-table "$work/iso"
    cat >"$work/bochsrc" <<CFG
config_interface: textconfig
display_library: term
romimage: file=$share/BIOS-bochs-latest
vgaromimage: file=/usr/share/vgabios/vgabios.bin
megs: 1024
cpu: model=$cpu, count=1, ips=100000000, reset_on_triple_fault=0
clock: sync=none
ata0: enabled=1
ata0-master: type=cdrom, path=$work/boot.iso, status=inserted
boot: cdrom
com1: enabled=1, mode=file, dev=$logs/serial
log: $logs/bochs.log
panic: action=fatal
error: action=ignore
info: action=ignore
debug: action=ignore
CFG
    echo c >"$work/rc" # Debian's has a debugger, which is to let it run
}

find_bochs
wanted=${*:-kernels_bits kernels_compute kernels_elem $rungs kernels_gemm kernels_attention}
if [ ! -s "$logs/vmlinuz" ] && ! fetch_kernel >"$logs/kernel" 2>&1; then skip "no kernel to boot, see $logs/kernel"; fi
if ! { fill_root && make_image; } then
    printf 'no image, see %s\n0 passed, 1 failed, 0 skipped\n' "$logs"
    exit 1
fi
rm -f "$logs/serial"
started=$SECONDS
# The screen is ncurses; script lends it a terminal.
TERM=vt100 script -qfc "echo \$\$ >'$work/pid'; exec nice -n 5 '$bochs' -q -f '$work/bochsrc' -rc '$work/rc'" /dev/null </dev/null >"$logs/screen" 2>&1 &
for _ in {1..50}; do
    pid=$(cat "$work/pid" 2>/dev/null)
    [ -z "$pid" ] || break
    sleep 0.1
done
[ -n "$pid" ] || { printf 'the emulator did not start, see %s\n0 passed, 1 failed, 0 skipped\n' "$logs/screen" && exit 1; }
passed=0
failed=0
seen=0
ended=""
while [ -z "$ended" ]; do
    sleep 2
    if ! kill -0 "$pid" 2>/dev/null; then ended="the emulator stopped" && pid=""; fi
    if [ $((SECONDS - started)) -gt $((minutes * 60)) ]; then ended="after $minutes minutes"; fi
    while read -r _ name result; do
        seen=$((seen + 1))
        case $name in end) ended=yes && break ;; esac
        echo "$name $result, $((SECONDS - started)) s"
        if [ "$result" = passed ]; then passed=$((passed + 1)); else failed=$((failed + 1)); fi
    done < <(sed -nE 's/^(@@ (end|.*: (passed|failed \([0-9]+\))))\r?$/\1/p' "$logs/serial" 2>/dev/null | tail -n +$((seen + 1)))
done
if [ "$ended" != yes ]; then
    rest=$(($(wc -l <"$work/root/jobs") - passed - failed))
    failed=$((failed + rest))
    echo "$rest not finished: $ended, see $logs/serial and $logs/bochs.log"
fi
[ "$failed" = 0 ] || echo "what they said: $logs/serial"
skipped=0
case $rungs in avx512-bf16*) ;; *) skipped=1 && echo "avx512-bf16: skipped, this Bochs has none and Debian 13's cannot be had here, see $logs/fetch" ;; esac
echo "$passed passed, $failed failed, $skipped skipped"
[ "$failed" = 0 ]
