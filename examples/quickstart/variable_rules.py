from markupsafe import escape

@app.route('/user/<username>')
def show_user_profile(username):
    # сол пайдаланушы үшін пайдаланушы профилін көрсету
    return f'User {escape(username)}'

@app.route('/post/<int:post_id>')
def show_post(post_id):
    # берілген идентификатормен хабарламаны көрсету, идентификатор бүтін сан болып табылады
    return f'Post {post_id}'

@app.route('/path/<path:subpath>')
def show_subpath(subpath):
    # /path/ кейін ішкі жолды көрсету
    return f'Subpath {escape(subpath)}'
