# Sourced by the tests of the tier long: each of their parts takes at most DCC_LONG_SECONDS (default 150; 0: as long as it
# takes) and what it has begun.  What the time may leave out is decided by an order of chance, DCC_SEED (default: the
# clock's), which is printed; the tests say how much was left out.
seconds=${DCC_LONG_SECONDS:-150} seed=${DCC_SEED:-$(date +%s)}
echo "$(basename "$0" .sh): DCC_SEED=$seed DCC_LONG_SECONDS=$seconds"

# shuffled: the lines of its input in the order of the seed
shuffled() {
	awk -v seed="$seed" 'BEGIN { srand(seed) } { print rand() "\t" $0 }' | sort -g | cut -f 2-
}

# begin_part: starts the clock of the next part
begin_part() {
	part_end=$((seconds ? $(date +%s) + seconds : 0))
	export part_end
}

# in_time: may another case begin?
in_time() {
	[ "$part_end" = 0 ] || [ "$(date +%s)" -lt "$part_end" ]
}
export -f in_time
