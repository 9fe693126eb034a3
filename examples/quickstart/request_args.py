searchword = request.args.get('key', '')
